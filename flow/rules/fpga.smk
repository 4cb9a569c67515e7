rule synthesize_chip:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        model=ancient("configs/models/{model}.yaml"),
        chip=rules.generate_rtl.output.chip,
        manifest=rules.generate_rtl.output.manifest,
        rom=rules.generate_rtl.output.rom,
    output:
        netlist=update("results/{model}/{target}/netlist.json"),
        verilog=update("results/{model}/{target}/netlist.v"),
        wrapper=update("results/{model}/{target}/top.v"),
        board=update("results/{model}/{target}/top.json"),
        cells=update("results/{model}/{target}/cells.json"),
        resets=update("results/{model}/{target}/resets.json"),
    log:
        "logs/{model}/{target}/synthesize.log",
    wildcard_constraints:
        target=targets_of("fpga"),
    # The longest chain of the workflow starts as early as it can.
    priority: 2
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("target_settings", "device", "oscillator_mhz", "clock_mhz", "baud"),
        start=of_model("settings", "generate"),
        sources=intaglio.sources("synthesize"),
        tools=intaglio.versions("yosys"),
    message:
        "{wildcards.model} on {wildcards.target}: synthesizing"
    shell:
        "python -m flow synthesize {input.config} --model {input.model} --chip {input.chip}"
        " --manifest {input.manifest}"
        " --folder results/{wildcards.model}/{wildcards.target} --log {log}"


rule place_and_route:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        netlist=rules.synthesize_chip.output.netlist,
        board=rules.synthesize_chip.output.board,
        cells=rules.synthesize_chip.output.cells,
        resets=rules.synthesize_chip.output.resets,
    output:
        config=update("results/{model}/{target}/seed{seed}/top.config"),
        routed=update("results/{model}/{target}/seed{seed}/routed.json"),
        timing=update("results/{model}/{target}/seed{seed}/timing.json"),
        # With ROMs of no meaning, before they are filled.
        empty_config=update("results/{model}/{target}/seed{seed}/job/top.config"),
        empty_routed=update("results/{model}/{target}/seed{seed}/job/routed.json"),
    log:
        "logs/{model}/{target}/place.seed{seed}.log",
    wildcard_constraints:
        target=targets_of("fpga"),
    # The longest chain of the workflow starts as early as it can.
    priority: 2
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("target_settings", "device", "package", "speed", "clock_mhz"),
        pins=of_target("pin_file"),
        sources=intaglio.sources("place"),
        tools=intaglio.versions("nextpnr"),
    message:
        "{wildcards.model} on {wildcards.target}: placing and routing, seed {wildcards.seed}"
    shell:
        "python -m flow place {input.config} --built results/{wildcards.model}/{wildcards.target}"
        " --seed {wildcards.seed}"
        " --folder results/{wildcards.model}/{wildcards.target}/seed{wildcards.seed} --log {log}"


rule pack_bitstream:
    input:
        config=ancient("configs/targets/{target}.yaml"),
        routed=over_seeds("results/{model}/{target}/seed{seed}/top.config"),
        timing=over_seeds("results/{model}/{target}/seed{seed}/timing.json"),
    output:
        bitstream=update("results/{model}/{target}/chip.bit"),
        choice=update("results/{model}/{target}/bitstream.json"),
    log:
        "logs/{model}/{target}/pack.log",
    wildcard_constraints:
        target=targets_of("fpga"),
    conda:
        "../envs/intaglio.yaml"
    params:
        settings=of_target("target_settings", "device"),
        sources=intaglio.sources("pack"),
        tools=intaglio.versions("ecppack"),
    message:
        "{wildcards.model} on {wildcards.target}: packing the bitstream"
    shell:
        "python -m flow pack {input.config} --timing {input.timing}"
        " --folder results/{wildcards.model}/{wildcards.target} --log {log}"
