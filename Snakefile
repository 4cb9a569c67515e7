from snakemake.utils import min_version

min_version("9.0")


configfile: "configs/config.yaml"


report: "flow/report/workflow.rst"


include: "flow/rules/common.smk"
include: "flow/rules/quantize.smk"
include: "flow/rules/rtl.smk"
include: "flow/rules/verify.smk"
include: "flow/rules/fpga.smk"
include: "flow/rules/asic.smk"
include: "flow/rules/librelane.smk"
include: "flow/rules/report.smk"
include: "flow/rules/evidence.smk"
include: "flow/rules/targets.smk"


rule all:
    default_target: True
    input:
        over_runs("results/{model}/{target}/report.html", "fpga", "asic"),
        over_runs("results/{model}/{target}/signoff.json", "fpga", "asic"),
        over_runs("results/{model}/{target}/librelane.json", "librelane"),
