rule generate_rtl:
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
    output:
        chip=update("results/{model}/rtl/chip.v"),
        manifest=update("results/{model}/rtl/manifest.json"),
        rom=update(directory("results/{model}/rtl/rom")),
    log:
        "logs/{model}/rtl.log",
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_model("settings", "plan"),
        sources=intaglio.sources("rtl"),
    message:
        "{wildcards.model}: writing Verilog"
    shell:
        "python -m flow rtl {input.config} --graph {input.graph}"
        " --folder results/{wildcards.model}/rtl --log {log}"
