"""A base from scratch: texts in, a small Llama with its tokenizer out."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from tokenizers import Tokenizer

from cortex_cli.models.bases import require_train_extra
from cortex_cli.train.batches import Row
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Result, Watch, run_loop
from cortex_cli.train.spec import PretrainSpec, ShapeSpec
from cortex_cli.train.texts import END, PAD, read_documents
from cortex_cli.train.tokens import save_tokenizer, train_tokenizer

__all__ = ["Base", "fit_base"]


@dataclass(frozen=True, slots=True)
class Base:
    """A trained base: its folder, what the run did, and its loss on documents it never saw.

    *held_out_loss* is nats per token; *bits_per_byte* makes it comparable between tokenizers.
    """

    folder: Path
    result: Result
    parameters: int
    documents: int
    training_tokens: int
    held_out_loss: float
    bits_per_byte: float

    def figures(self) -> dict[str, float]:
        """Return what was measured, for the model card; seconds are wall time of the training loop."""
        return {
            "parameters": self.parameters,
            "documents": self.documents,
            "tokens_per_epoch": self.training_tokens,
            "tokens_seen": self.result.tokens,
            "steps": self.result.steps,
            "seconds": round(self.result.seconds, 1),
            "training_loss": round(self.result.loss, 4),
            "held_out_loss": round(self.held_out_loss, 4),
            "bits_per_byte": round(self.bits_per_byte, 4),
        }


def fit_base(spec: PretrainSpec, packs: Path, run: Path, *, watch: Watch) -> Base:
    """Train the base that *spec* describes on the texts in *packs*; resume from checkpoints in *run*.

    The finished model is in `run/model`; it is written only when training ended.
    """
    require_train_extra("training a base")
    run.mkdir(parents=True, exist_ok=True)
    documents, held_out = _split(read_documents(spec.texts, packs), spec.held_out)
    tokenizer = _tokenizer(documents, spec, run)
    rows = _rows(tokenizer, documents, spec.loop.window)
    network = _new_network(spec.shape, tokenizer, spec.loop.seed)
    objective = LanguageLoss(network, int(tokenizer.token_to_id(PAD) or 0), spec.loop)
    result = run_loop(objective, rows, spec.loop, run, watch=watch)
    loss, bits = _measure(network, tokenizer, held_out, spec)
    folder = run / "model"
    network.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder, context=spec.shape.context)
    return Base(
        folder=folder,
        result=result,
        parameters=sum(value.numel() for value in network.parameters()),
        documents=len(documents),
        training_tokens=sum(len(row.ids) for row in rows),
        held_out_loss=loss,
        bits_per_byte=bits,
    )


def _split(documents: Iterable[str], share: float) -> tuple[list[str], list[str]]:
    # By hash: a document and its copies are always on the same side.
    train: list[str] = []
    held_out: dict[str, None] = {}
    for document in documents:
        chance = int.from_bytes(hashlib.sha256(b"held-out" + document.encode()).digest()[:4], "big") / 2**32
        if chance < share:
            held_out[document] = None
        else:
            train.append(document)
    return train, list(held_out)


def _tokenizer(documents: list[str], spec: PretrainSpec, run: Path) -> Tokenizer:
    # A resumed run must have the same vocabulary, so it is kept as soon as it exists.
    path = run / "model" / "tokenizer.json"
    if not path.is_file():
        save_tokenizer(train_tokenizer(documents, spec.shape.vocabulary), path.parent, context=spec.shape.context)
    return Tokenizer.from_file(str(path))


def _rows(tokenizer: Tokenizer, documents: list[str], window: int) -> list[Row]:
    rows: list[Row] = []
    for number, encoding in enumerate(tokenizer.encode_batch(documents, add_special_tokens=False)):
        ids = encoding.ids
        for start in range(0, len(ids), window):
            piece = tuple(ids[start : start + window])
            if len(piece) > 1:
                rows.append(Row(piece, ((1, len(piece)),), str(number)))
    return rows


def _new_network(shape: ShapeSpec, tokenizer: Tokenizer, seed: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.token_to_id(PAD),
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


@torch.no_grad()
def _measure(network: Any, tokenizer: Tokenizer, documents: list[str], spec: PretrainSpec) -> tuple[float, float]:
    model = LanguageLoss(network.eval(), 0, msgspec.structs.replace(spec.loop, dtype="float32"))
    total, tokens, size = 0.0, 0, 0
    for document in documents:
        ids = tokenizer.encode(document, add_special_tokens=False).ids[: spec.loop.window]
        if len(ids) > 1:
            total += float(model.loss([Row(tuple(ids), ((1, len(ids)),), document)]))
            tokens += len(ids) - 1
            size += len(tokenizer.decode(ids, skip_special_tokens=False).encode())
    if not tokens:
        return 0.0, 0.0
    return total / tokens, total / size / 0.6931471805599453  # nats to bits: ln 2
