rule quantize_model:
    input:
        config=ancient("configs/models/{model}.yaml"),
    output:
        graph=update("results/{model}/quantize/graph.safetensors"),
        metrics=update("results/{model}/quantize/metrics.json"),
    log:
        "logs/{model}/quantize.log",
    conda:
        "../envs/intaglio.yaml"
    # A resource, because params and input are provenance, and a moved checkpoint is the same one.
    resources:
        checkpoint=of_model("checkpoint"),
    params:
        content=of_model("content"),
        settings=of_model("settings", "tokenizer", "data", "quantize", "adapters", "generate"),
        data=of_model("data"),
        sources=intaglio.sources("quantize"),
    message:
        "{wildcards.model}: quantizing {resources.checkpoint}"
    shell:
        "python -m flow quantize {input.config} --checkpoint {resources.checkpoint:q}"
        " --folder results/{wildcards.model}/quantize --log {log}"
