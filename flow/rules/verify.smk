rule verify_rtl:
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
        chip=rules.generate_rtl.output.chip,
        manifest=rules.generate_rtl.output.manifest,
        rom=rules.generate_rtl.output.rom,
    output:
        metrics=update("results/{model}/verify/metrics.json"),
    log:
        "logs/{model}/verify.log",
    # Before the synthesis for a second target, which would wait for that for the first.
    priority: 1
    conda:
        "../envs/intaglio.yaml"
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        settings=of_model("settings", "tokenizer", "data", "adapters", "verify"),
        data=of_model("data"),
        sources=intaglio.sources("verify"),
        tools=intaglio.versions("verilator"),
    message:
        "{wildcards.model}: comparing the simulated RTL with the golden model"
    shell:
        "python -m flow verify {input.config} --checkpoint {resources.checkpoint:q}"
        " --graph {input.graph} --design {input.chip} --manifest {input.manifest}"
        " --metrics {output.metrics} --log {log}"


rule verify_netlist:
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
        netlist="results/{model}/{target}/netlist.v",
        manifest=rules.generate_rtl.output.manifest,
    output:
        metrics=update("results/{model}/{target}/verify.json"),
    log:
        "logs/{model}/{target}/verify.log",
    wildcard_constraints:
        target=targets_of("fpga"),
    conda:
        "../envs/intaglio.yaml"
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        settings=of_model("settings", "tokenizer", "data", "adapters", "verify"),
        data=of_model("data"),
        sources=intaglio.sources("verify"),
        tools=intaglio.versions("verilator"),
    message:
        "{wildcards.model} on {wildcards.target}: comparing the simulated netlist with the golden model"
    shell:
        "python -m flow verify {input.config} --checkpoint {resources.checkpoint:q}"
        " --graph {input.graph} --netlist {input.netlist} --manifest {input.manifest}"
        " --metrics {output.metrics} --log {log}"
