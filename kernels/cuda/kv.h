// What the kernels that write and read the KV cache (kernels.KVCache) share.
#pragma once

// Scheme is what shares a scale, as numbers: one a token for all heads, where keys
// are stored before RoPE; one a head; with a zero point beside it (quant.KVScheme).
enum Scheme { TOKEN, HEAD, HEAD_ZP };

const int page_tokens = 64;
