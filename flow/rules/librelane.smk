# The second back end for layouts: goes as far as the installed tools allow, and says what is missing.
rule harden_chip:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        chip=rules.generate_rtl.output.chip,
        rom=rules.generate_rtl.output.rom,
    output:
        result=update("results/{model}/{target}/librelane.json"),
        page=report(
            update("results/{model}/{target}/librelane.html"),
            caption="../report/page.rst",
            category="{model}",
            labels={"target": "{target}", "content": "LibreLane"},
        ),
    log:
        "logs/{model}/{target}/librelane.log",
    wildcard_constraints:
        target=targets_of("librelane"),
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("librelane_settings"),
        sources=intaglio.sources("librelane"),
        tools=intaglio.versions("verilator"),
    message:
        "{wildcards.model} on {wildcards.target}: LibreLane"
    shell:
        "python -m flow harden {input.config} --chip {input.chip}"
        " --folder results/{wildcards.model}/{wildcards.target} --result {output.result}"
        " --page {output.page} --model {wildcards.model} --log {log}"
