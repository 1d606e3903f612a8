package kvcache

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key names a prefix by all of its tokens: a chain of SHA-256 over one page's tokens
// after another. Two prefixes with one key would read each other's K and V, which
// nobody must be able to bring about, so the hash is a cryptographic one.
type Key [sha256.Size]byte

// Root is the key of the empty prefix. Prefixes of different salts share nothing. It is a
// hash of a hash, for a salt may be any text, that of a key and a page's tokens, too.
func Root(salt string) Key {
	k := sha256.Sum256([]byte(salt))
	return sha256.Sum256(k[:])
}

// Next returns the key of k's prefix with a page's tokens after it.
func (k Key) Next(tokens []int32) Key {
	var buf [sha256.Size + 4*PageTokens]byte
	b := append(buf[:0], k[:]...)
	for _, id := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return sha256.Sum256(b)
}
