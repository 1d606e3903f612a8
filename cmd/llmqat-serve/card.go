package main

import (
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve"
	"github.com/llmqat/llmqat/serve/chat"
)

// card tells the page, and whoever asks for the model, what h and i are.
func card(h *qat.Header, i engine.Info, t *chat.Template) *serve.Card {
	c, q := h.Config, h.Quantization
	one := &serve.Card{
		Parameters: i.Parameters, Layers: c.NumHiddenLayers, HiddenSize: c.HiddenSize, IntermediateSize: c.IntermediateSize,
		Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadSize: c.HeadDim, VocabSize: c.VocabSize,
		TrainedContext: c.MaxPositionEmbeddings,

		WeightBits: q.Bits.W, ActivationBits: q.Bits.A, KVBits: q.Bits.KV, KVScheme: string(q.KVScheme),
		LMHeadBits: q.LMHeadBits, Float: q.Float, Method: q.Method,

		Device: i.Device, MaxSeqs: i.MaxSeqs, KVPages: i.KVPages, PageTokens: engine.PageTokens,
		WeightBytes: i.WeightBytes, KVBytes: i.KVBytes, ScratchBytes: i.ScratchBytes,

		Provenance: serve.Provenance(h.Provenance), Server: "llmqat " + version,
	}
	if t != nil {
		one.ChatTemplate = t.Name()
	}
	return one
}
