from typing import Any

import pytest
import torch
import transformers

from cortex_cli.models.decoding import FusedDecoder, make_decoder
from cortex_cli.models.passages import PlainDecoder

pytestmark = pytest.mark.model

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3, 4], [40, 41, 42, 43], [9]]
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama, a key head per query head": ("Llama", {"num_key_value_heads": 4}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, wider heads": ("Llama", {"head_dim": 16}),
    "llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "yarn": ("Llama", {"rope_parameters": YARN}),
    "linear": ("Llama", {"rope_parameters": LINEAR}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen 2": ("Qwen2", {}),
    "qwen 3": ("Qwen3", {"head_dim": 8}),
}
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral with a window": ("Mistral", {"sliding_window": 4}),
    "llama, angles that grow with the text": (
        "Llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "gpt neo x": ("GPTNeoX", {}),
}


def network(family: str, extra: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SHAPE | extra)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for name, value in model.named_parameters():
        if "norm" in name or name.endswith("bias"):  # otherwise ones and zeros, which hide what is left out
            torch.nn.init.normal_(value.data, 1.0, 0.2)
    return model


def following(model: Any, prompt: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([prompt])).logits[0, -1]
    return logits


def generated(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    found = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False
    )
    return [int(token) for token in found[0, len(prompt) :]]


def written(model: Any, prompts: list[list[int]], count: int) -> list[list[int]]:
    passage, logits = make_decoder(model).begin(prompts, count)
    columns = [logits.argmax(-1)]
    while len(columns) < count:
        columns.append(passage.step(columns[-1]).argmax(-1))
    return torch.stack(columns, dim=1).tolist()


@pytest.mark.parametrize("name", [*FUSED, *PLAIN])
def test_greedy_tokens_are_those_of_the_library(name: str) -> None:
    family, extra = (FUSED | PLAIN)[name]
    wanted = [generated(network(family, extra), prompt, 20) for prompt in PROMPTS]
    model = network(family, extra)

    assert isinstance(make_decoder(model), FusedDecoder if name in FUSED else PlainDecoder)
    assert written(model, PROMPTS, 20) == wanted
    assert [written(model, [prompt], 20)[0] for prompt in PROMPTS] == wanted


@pytest.mark.parametrize("name", [*FUSED, "gpt neo x"])
def test_logits_are_those_of_a_whole_forward_pass_while_rows_leave(name: str) -> None:
    family, extra = (FUSED | PLAIN)[name]
    whole, model = network(family, extra), network(family, extra)
    passage, logits = make_decoder(model).begin(PROMPTS, 6)
    rows = [list(prompt) for prompt in PROMPTS]
    for kept in ([0, 1, 2, 3], [0, 2, 3], [2, 0], [1]):
        wanted = torch.stack([following(whole, row) for row in rows])
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
        rows, tokens = [rows[place] for place in kept], logits[kept].argmax(-1)
        passage.keep(torch.tensor(kept))
        for row, token in zip(rows, tokens.tolist(), strict=True):
            row.append(token)
        logits = passage.step(tokens)


def test_prompts_read_in_parts_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("Llama", {})
    _, at_once = make_decoder(model).begin(PROMPTS, 1)
    monkeypatch.setattr("cortex_cli.models.decoding._PREFILL", 1)
    _, in_parts = make_decoder(model).begin(PROMPTS, 1)

    torch.testing.assert_close(at_once, in_parts, rtol=1e-5, atol=1e-5)


def test_no_weight_is_held_twice_and_a_change_in_place_is_seen_by_both() -> None:
    model = network("Llama", {})
    decoder = make_decoder(model)
    assert isinstance(decoder, FusedDecoder)
    attention = model.model.layers[1].self_attn
    before = decoder.begin(PROMPTS, 1)[1]
    with torch.no_grad():
        attention.v_proj.weight.mul_(2.0)
    after = decoder.begin(PROMPTS, 1)[1]

    storages = {layer.weight.untyped_storage().data_ptr() for layer in (attention.q_proj, attention.v_proj)}
    assert storages == {decoder.layers[1].qkv.untyped_storage().data_ptr()}
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after[0], following(model, PROMPTS[0]), rtol=1e-4, atol=1e-4)


def test_a_network_with_an_adapter_that_is_not_merged_keeps_its_own_forward_pass() -> None:
    from cortex_cli.models.lora import attach
    from cortex_cli.train.spec import LoraSpec

    model = network("Llama", {})
    attach(model, LoraSpec(rank=2, alpha=4.0, targets=("q_proj",)), seed=0)

    assert isinstance(make_decoder(model), PlainDecoder)


def test_the_bytes_of_a_token_are_those_of_its_keys_and_values() -> None:
    decoder = make_decoder(network("Llama", {}))
    assert isinstance(decoder, FusedDecoder)
    passage, _ = decoder.begin([[1, 2, 3]], 5)

    assert 8 * decoder.cell == sum(tensor.nbytes for tensor in (*passage.keys, *passage.values))
    assert PlainDecoder(network("Llama", {})).cell == decoder.cell
