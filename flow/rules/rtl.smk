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
        settings=of_model("settings", "plan", "adapters"),
        # The plan depends on what the targets hold; one chip serves all targets of a model.
        devices=of_model("devices"),
        targets=of_model("target_names"),
        sources=intaglio.sources("rtl"),
    message:
        "{wildcards.model}: writing Verilog"
    shell:
        "python -m flow rtl {input.config} --graph {input.graph}"
        " --folder results/{wildcards.model}/rtl --target {params.targets} --log {log}"
