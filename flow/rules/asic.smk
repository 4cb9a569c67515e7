# The views of the standard cells are the same for every chip.
rule make_cells:
    output:
        library=update("results/pdk/c4m_sky130/library.json"),
        models=update("results/pdk/c4m_sky130/cells.v"),
    log:
        "logs/pdk/c4m_sky130/cells.log",
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("cells"),
    message:
        "c4m_sky130: making the standard cells"
    shell:
        "python -m flow cells --folder results/pdk/c4m_sky130 --log {log}"


rule map_chip:
    input:
        chip=rules.generate_rtl.output.chip,
        rom=rules.generate_rtl.output.rom,
        library=rules.make_cells.output.library,
    output:
        mapped=update("results/{model}/{target}/mapped.json"),
        netlist=update("results/{model}/{target}/netlist.json"),
        cells=update("results/{model}/{target}/cells.json"),
    log:
        "logs/{model}/{target}/map.log",
    wildcard_constraints:
        target=targets_of("asic"),
    priority: 2
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("map"),
        tools=intaglio.versions("yosys"),
    message:
        "{wildcards.model} on {wildcards.target}: mapping to standard cells"
    shell:
        "python -m flow map --chip {input.chip} --views results/pdk/c4m_sky130"
        " --folder results/{wildcards.model}/{wildcards.target} --log {log}"


rule lay_out:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        mapped=rules.map_chip.output.mapped,
        library=rules.make_cells.output.library,
    output:
        gds=update("results/{model}/{target}/chip.gds"),
        picture=report(
            update("results/{model}/{target}/chip.png"),
            caption="../report/layout.rst",
            category="{model}",
            labels={"target": "{target}", "content": "layout"},
        ),
        placed=update("results/{model}/{target}/layout.json"),
        routed=update("results/{model}/{target}/routed.json"),
        verilog=update("results/{model}/{target}/netlist.v"),
        place=update("results/{model}/{target}/place.json"),
        summary=update("results/{model}/{target}/finish.json"),
        drc=update("results/{model}/{target}/drc.json"),
        antenna=update("results/{model}/{target}/antenna.json"),
    log:
        "logs/{model}/{target}/layout.log",
    wildcard_constraints:
        target=targets_of("asic"),
    priority: 2
    conda:
        "../envs/intaglio.yaml"
    threads: 2  # tiles at once
    params:
        settings=of_target("target_settings", "utilization", "tile_cells"),
        sources=intaglio.sources("layout"),
        tools=intaglio.versions("klayout"),
    message:
        "{wildcards.model} on {wildcards.target}: placing and routing"
    shell:
        "python -m flow layout {input.config} --mapped {input.mapped}"
        " --views results/pdk/c4m_sky130"
        " --folder results/{wildcards.model}/{wildcards.target} --jobs {threads} --log {log}"


rule compare_layout:
    input:
        gds=rules.lay_out.output.gds,
        placed=rules.lay_out.output.placed,
        library=rules.make_cells.output.library,
    output:
        result=update("results/{model}/{target}/lvs.json"),
        wires=update("results/{model}/{target}/wires.json"),
    log:
        "logs/{model}/{target}/lvs.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("lvs"),
    message:
        "{wildcards.model} on {wildcards.target}: comparing layout and netlist"
    shell:
        "python -m flow lvs --gds {input.gds} --placed {input.placed}"
        " --views results/pdk/c4m_sky130 --result {output.result} --log {log}"


rule analyze_timing:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        routed=rules.lay_out.output.routed,
        verilog=rules.lay_out.output.verilog,
        wires=rules.compare_layout.output.wires,
        library=rules.make_cells.output.library,
    output:
        result=update("results/{model}/{target}/timing.json"),
    log:
        "logs/{model}/{target}/timing.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("target_settings", "process", "clock_mhz", "corners"),
        sources=intaglio.sources("timing"),
        tools=intaglio.versions("opensta"),
    message:
        "{wildcards.model} on {wildcards.target}: analyzing timing"
    shell:
        "python -m flow timing {input.config} --views results/pdk/c4m_sky130"
        " --folder results/{wildcards.model}/{wildcards.target} --result {output.result}"
        " --log {log}"


rule count_toggles:
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
        manifest=rules.generate_rtl.output.manifest,
        routed=rules.lay_out.output.routed,
        netlist=rules.lay_out.output.verilog,
        cells=rules.make_cells.output.models,
    output:
        toggles=update("results/{model}/{target}/toggles.json"),
    log:
        "logs/{model}/{target}/toggles.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        settings=of_model("settings", "tokenizer", "data", "verify"),
        data=of_model("data"),
        sources=intaglio.sources("toggles"),
        tools=intaglio.versions("verilator"),
    message:
        "{wildcards.model} on {wildcards.target}: counting edges of all nets"
    shell:
        "python -m flow toggles {input.config} --checkpoint {resources.checkpoint:q}"
        " --graph {input.graph} --manifest {input.manifest} --cells {input.cells}"
        " --folder results/{wildcards.model}/{wildcards.target} --log {log}"


rule analyze_power:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        routed=rules.lay_out.output.routed,
        wires=rules.compare_layout.output.wires,
        toggles=rules.count_toggles.output.toggles,
        library=rules.make_cells.output.library,
    output:
        result=update("results/{model}/{target}/power.json"),
    log:
        "logs/{model}/{target}/power.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("target_settings", "process", "clock_mhz", "corners"),
        sources=intaglio.sources("power"),
    message:
        "{wildcards.model} on {wildcards.target}: computing power"
    shell:
        "python -m flow power {input.config} --views results/pdk/c4m_sky130"
        " --folder results/{wildcards.model}/{wildcards.target} --result {output.result}"
        " --log {log}"


# The libraries ship in pdks/; `snakemake characterize` makes them again and compares nothing.
rule characterize_cells:
    input:
        library=rules.make_cells.output.library,
    output:
        liberty=update("results/pdk/c4m_sky130/{corner}.lib"),
    log:
        "logs/pdk/c4m_sky130/{corner}.log",
    wildcard_constraints:
        corner="tt|ss|ff",
    conda:
        "../envs/intaglio.yaml"
    params:
        sources=intaglio.sources("characterize"),
        tools=intaglio.versions("ngspice"),
    message:
        "c4m_sky130: characterizing the standard cells at {wildcards.corner}"
    shell:
        "python -m flow characterize --views results/pdk/c4m_sky130 --corner {wildcards.corner}"
        " --liberty {output.liberty} --log {log}"


rule verify_layout:
    input:
        config=ancient("configs/models/{model}.yaml"),
        graph=rules.quantize_model.output.graph,
        netlist=rules.lay_out.output.verilog,
        cells=rules.make_cells.output.models,
        manifest=rules.generate_rtl.output.manifest,
    output:
        metrics=update("results/{model}/{target}/verify.json"),
    log:
        "logs/{model}/{target}/verify.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        settings=of_model("settings", "tokenizer", "data", "verify"),
        data=of_model("data"),
        sources=intaglio.sources("verify"),
        tools=intaglio.versions("verilator"),
    message:
        "{wildcards.model} on {wildcards.target}: comparing the simulated gates with the golden model"
    shell:
        "python -m flow verify {input.config} --checkpoint {resources.checkpoint:q}"
        " --graph {input.graph} --netlist {input.netlist} --cells {input.cells}"
        " --manifest {input.manifest} --metrics {output.metrics} --log {log}"


rule collect_layout_metrics:
    input:
        model=ancient("configs/models/{model}.yaml"),
        target=ancient("configs/targets/{target}.yaml"),
        quality=rules.quantize_model.output.metrics,
        manifest=rules.generate_rtl.output.manifest,
        rtl=rules.verify_rtl.output.metrics,
        netlist=rules.verify_layout.output.metrics,
        cells=rules.map_chip.output.cells,
        place=rules.lay_out.output.place,
        finish=rules.lay_out.output.summary,
        lvs=rules.compare_layout.output.result,
        drc=rules.lay_out.output.drc,
        antenna=rules.lay_out.output.antenna,
        timing=rules.analyze_timing.output.result,
        power=rules.analyze_power.output.result,
    output:
        metrics=update("results/{model}/{target}/metrics.json"),
    log:
        "logs/{model}/{target}/measure.log",
    wildcard_constraints:
        target=targets_of("asic"),
    conda:
        "../envs/intaglio.yaml"
    params:
        model=of_model("settings", "title", "quantize", "verify"),
        target=of_target("target_settings", "title", "process", "clock_mhz", "corners"),
        sources=intaglio.sources("report"),
    message:
        "{wildcards.model} on {wildcards.target}: collecting metrics"
    shell:
        "python -m flow measure-layout {input.model} {input.target} --quality {input.quality}"
        " --manifest {input.manifest} --rtl {input.rtl}"
        " --folder results/{wildcards.model}/{wildcards.target}"
        " --metrics {output.metrics} --log {log}"
