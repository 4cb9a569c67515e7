import sys
from pathlib import Path

from flow import workflow as intaglio
from rtl_gen.errors import FlowError

intaglio.prefer_this_python()


def said_plainly(function, *args, **kwargs):
    """Result of `function`; an error of the input ends Snakemake, which would trace an exception."""
    try:
        return function(*args, **kwargs)
    except FlowError as error:
        sys.exit(f"intaglio: {error}")


WORKFLOW = said_plainly(intaglio.load, config)


def of_model(method, *args):
    """Params function: `method` of the workflow for the model of a job."""
    return lambda wildcards: said_plainly(getattr(WORKFLOW, method), wildcards.model, *args)


def of_target(method, *args):
    """Params function: `method` of the workflow for the target of a job."""
    return lambda wildcards: said_plainly(getattr(WORKFLOW, method), wildcards.target, *args)


def targets_of(kind):
    """Pattern of the names of all targets of this kind."""
    return "|".join(said_plainly(WORKFLOW.targets_of, kind)) or "(?!)"


def over_runs(pattern, *kinds):
    """Files named by `pattern`, one for each run of the configuration (on targets of these kinds)."""
    runs = [run for run in WORKFLOW.runs.runs if not kinds or WORKFLOW.kind(run[1]) in kinds]
    models, targets = [model for model, _ in runs], [target for _, target in runs]
    return sorted(set(expand(pattern, zip, model=models, target=targets)))


def over_seeds(pattern):
    """Input function: files named by `pattern`, one for each seed of place and route."""
    return lambda wildcards: expand(
        pattern,
        model=wildcards.model,
        target=wildcards.target,
        seed=said_plainly(WORKFLOW.seeds, wildcards.target),
    )


def chip_of(wildcards):
    """Params function: options that name the model, and the target if the job has one."""
    names = [name for name in ("model", "target") if hasattr(wildcards, name)]
    return " ".join(f"--{name} {getattr(wildcards, name)}" for name in names)


def over_seeds_of(patterns):
    """Input function: as `over_seeds`, for several patterns; none for obligations on the RTL."""
    return lambda wildcards: [
        file for pattern in patterns for file in over_seeds(pattern)(wildcards)
    ]


# Folders of stages stand beside those of targets.
wildcard_constraints:
    model="[a-z][a-z0-9_]*",
    target=r"(?!(?:quantize|rtl|verify|ecp5|evidence|c4m_sky130)\b)[a-z][a-z0-9_]*",
    seed="[0-9]+",


onstart:
    HELD = said_plainly(intaglio.hold)


onsuccess:
    for page in sorted(Path("results").glob("*/*/report.html")):
        print(f"report: {page}", file=sys.stderr)
