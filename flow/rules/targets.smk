rule quantize:
    input:
        over_runs("results/{model}/quantize/metrics.json"),


rule rtl:
    input:
        over_runs("results/{model}/rtl/chip.v"),


rule verify:
    input:
        over_runs("results/{model}/verify/metrics.json"),
        over_runs("results/{model}/{target}/verify.json"),


rule fpga:
    input:
        over_runs("results/{model}/{target}/chip.bit"),


rule report:
    input:
        over_runs("results/{model}/{target}/report.html"),


for model in WORKFLOW.models:

    rule:
        name:
            model
        input:
            expand(
                "results/{model}/{target}/{file}",
                model=model,
                target=WORKFLOW.runs.targets(model),
                file=["report.html", "signoff.json"],
            ),
