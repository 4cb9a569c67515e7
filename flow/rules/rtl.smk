rule generate_rtl:
    message:
        "{wildcards.model}: writing Verilog"
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
    output:
        chip=update("results/{model}/rtl/chip.v"),
        manifest=update("results/{model}/rtl/manifest.json"),
        rom=update(directory("results/{model}/rtl/rom")),
    params:
        settings=of_model("settings", "plan"),
        sources=intaglio.sources("rtl"),
    log:
        "logs/{model}/rtl.log",
    conda:
        "../envs/intaglio.yaml"
    shell:
        "python -m flow rtl {input.config} --graph {input.graph}"
        " --folder results/{wildcards.model}/rtl --log {log}"
