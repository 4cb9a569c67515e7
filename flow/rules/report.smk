rule collect_metrics:
    input:
        model=ancient("configs/models/{model}.yaml"),
        target=ancient("configs/targets/{target}.yaml"),
        quality=rules.quantize_model.output.metrics,
        manifest=rules.generate_rtl.output.manifest,
        rtl=rules.verify_rtl.output.metrics,
        netlist=rules.verify_netlist.output.metrics,
        cells=rules.synthesize_chip.output.cells,
        timing=over_seeds("results/{model}/{target}/seed{seed}/timing.json"),
        bitstream=rules.pack_bitstream.output.choice,
    output:
        metrics=report(
            update("results/{model}/{target}/metrics.json"),
            caption="../report/metrics.rst",
            category="{model}",
            labels={"target": "{target}", "content": "metrics"},
        ),
    log:
        "logs/{model}/{target}/measure.log",
    wildcard_constraints:
        target=targets_of("fpga"),
    conda:
        "../envs/intaglio.yaml"
    params:
        model=of_model("settings", "title", "quantize", "verify"),
        target=of_target("target_settings", "title", "device", "package", "speed", "clock_mhz"),
        sources=intaglio.sources("report"),
    message:
        "{wildcards.model} on {wildcards.target}: collecting metrics"
    shell:
        "python -m flow measure {input.model} {input.target} --quality {input.quality}"
        " --manifest {input.manifest} --rtl {input.rtl} --netlist {input.netlist}"
        " --cells {input.cells} --timing {input.timing} --bitstream {input.bitstream}"
        " --metrics {output.metrics} --log {log}"


rule write_report:
    input:
        metrics=rules.collect_metrics.output.metrics,
    output:
        page=report(
            update("results/{model}/{target}/report.html"),
            caption="../report/page.rst",
            category="{model}",
            labels={"target": "{target}", "content": "report"},
        ),
    log:
        "logs/{model}/{target}/report.log",
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("report"),
    message:
        "{wildcards.model} on {wildcards.target}: writing the report"
    shell:
        "python -m flow report {input.metrics} --html {output.page} > {log}"


# Judged apart from measuring and after the page, so that a failed check keeps its evidence.
rule judge:
    input:
        metrics=rules.collect_metrics.output.metrics,
        page=rules.write_report.output.page,
    output:
        verdict=update("results/{model}/{target}/checks.json"),
    log:
        "logs/{model}/{target}/judge.log",
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("report"),
    message:
        "{wildcards.model} on {wildcards.target}: judging"
    shell:
        "python -m flow judge {input.metrics} --verdict {output.verdict} 2>&1 | tee {log} >&2"
