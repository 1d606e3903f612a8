package report

// reading is a line on how to read the figures.
type reading struct{ Name, Text string }

var howToRead = []reading{
	{"W-A-KV", "bits of the layers' weights, of activations, of the KV cache. 16-16-16 (FP16) is not quantized. Rounded: each weight to the nearest step, no training. Trained: fine-tuned for these bits on text that the teacher made up."},
	{"Perplexity", "e to the mean of -ln p of each next token; each window alone, its first token not predicted. Perplexities of other texts, tokenizers or window lengths do not compare."},
	{"KL to the teacher", "mean over all tokens of Σ p·(ln p − ln q) in nats, p the teacher's and q the model's distribution of the next token. Same first: how often both find the same token the likeliest. RMS of Δp: how far the probability of the text's own next token moves."},
	{"±", "one standard error, with windows as the samples. Models of one set are compared on the same tokens, so their differences are far surer than these errors."},
	{"Tasks", "part of the multiple-choice questions whose right answer the model holds the likeliest: acc by the answer's probability, acc_norm by that for each of its characters; as the LLaMA paper, the latter, or for boolq and openbookqa beside its probability after \"Answer:\" alone. Compare models here with each other, and with published figures of the same protocol only."},
	{"What is evaluated is what is served", "models run by the server's own code, over the quantized KV cache, all on one device."},
	{"Speed", "all models in turn within one run, so that a machine whose speed drifts treats them alike; medians of the samples, which report.json has all. × is the ratio to the first row. Decode and batches continue sequences of that many tokens of context; prefill reads a prompt in passes of 512."},
	{"Of read bandwidth", "bytes that each decoded token reads (weights, scales, K and V of its context) × tokens/s ÷ the read bandwidth measured beside each sample. More than 100 %: a model so small that it stays in the processor's caches, where memory is no limit."},
	{"Of the multipliers' peak", "multiplications of the linear layers × tokens/s ÷ the peak of int8 (or float) instructions in registers, measured in the same run."},
	{"Roofline", "multiplications (linear layers, attention, lm_head) for each byte of weights and KV cache that is read, and how many are done a second. Activations are not counted: they stay in caches. 1 MAC is 2 operations."},
	{"Resident", "memory of a fresh process when it has its first token; the mapped file counts as far as it was read."},
}
