# One rule for each obligation: what is shown of the RTL of a model, and of a target's design.
for obligation in intaglio.obligations():

    rule:
        name:
            obligation.rule
        input:
            [ancient("configs/models/{model}.yaml")],
            [file for file in obligation.files if "{seed}" not in file],
            over_seeds_of([file for file in obligation.files if "{seed}" in file]),
        output:
            record=update(obligation.record),
        log:
            obligation.log,
        wildcard_constraints:
            target=targets_of(obligation.kind) if obligation.kind else ".*",
        conda:
            "../envs/intaglio.yaml"
        resources:
            checkpoint=of_model("checkpoint"),
        params:
            content=of_model("content") if obligation.of_checkpoint else "",
            held_out=of_model("held_out") if obligation.name.endswith(".graph") else "",
            sources=intaglio.sources("evidence"),
            tools=intaglio.versions("yosys", "ecppack"),
            obligation=obligation.name,
            chip=chip_of,
        message:
            obligation.message
        shell:
            "python -m flow prove {params.obligation} {params.chip}"
            " --checkpoint {resources.checkpoint:q} --record {output.record} --log {log}"


rule collect_evidence:
    input:
        manifest=rules.generate_rtl.output.manifest,
        records=lambda wildcards: said_plainly(WORKFLOW.records, wildcards.model, wildcards.target),
    output:
        evidence=update("results/{model}/{target}/evidence.json"),
    log:
        "logs/{model}/{target}/evidence.log",
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("evidence"),
    message:
        "{wildcards.model} on {wildcards.target}: collecting the evidence"
    shell:
        "python -m flow evidence results/{wildcards.model}/{wildcards.target}"
        " --records {input.records} --log {log}"


# After the page and the ledger, so that a chip that is refused keeps both.
rule sign_off:
    input:
        checks=rules.judge.output.verdict,
        evidence=rules.collect_evidence.output.evidence,
    output:
        # Not kept where an earlier one stands and the chip is refused now.
        verdict="results/{model}/{target}/signoff.json",
    log:
        "logs/{model}/{target}/signoff.log",
    conda:
        "../envs/intaglio.yaml"
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        sources=intaglio.sources("evidence"),
    message:
        "{wildcards.model} on {wildcards.target}: signing off"
    shell:
        "python -m flow signoff results/{wildcards.model}/{wildcards.target}"
        " --checkpoint {resources.checkpoint:q} --verdict {output.verdict} 2>&1 | tee {log} >&2"
