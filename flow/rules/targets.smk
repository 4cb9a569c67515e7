rule quantize:
    input:
        over_runs("results/{model}/quantize/metrics.json"),


rule rtl:
    input:
        over_runs("results/{model}/rtl/chip.v"),


rule verify:
    input:
        over_runs("results/{model}/verify/metrics.json"),
        over_runs("results/{model}/{target}/verify.json", "fpga", "asic"),


rule fpga:
    input:
        over_runs("results/{model}/{target}/chip.bit", "fpga"),


rule asic:
    input:
        over_runs("results/{model}/{target}/chip.gds", "asic"),


rule characterize:
    input:
        expand(rules.characterize_cells.output.liberty, corner=("tt", "ss", "ff")),


rule report:
    input:
        over_runs("results/{model}/{target}/report.html", "fpga", "asic"),


for model in WORKFLOW.models:

    rule:
        name:
            model
        input:
            [
                f"results/{model}/{target}/{file}"
                for target in WORKFLOW.runs.targets(model)
                for file in said_plainly(WORKFLOW.products, target)
            ],
