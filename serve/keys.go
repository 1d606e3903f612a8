package serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/valyala/fasthttp"
)

// Keys are the API keys that a server takes. Only their digests stay in memory.
type Keys struct{ list []apiKey }

type apiKey struct {
	name   string
	digest [sha256.Size]byte
}

// ReadKeys reads one key a line, as "key", "name:key" or "name key". Empty lines are skipped, and a # with what
// stands behind it where it begins a word. A key without a name is called after its line: "key-3". No error holds a key.
func ReadKeys(r io.Reader) (*Keys, error) {
	k := &Keys{}
	at := map[[sha256.Size]byte]int{} // lines
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if at := comment.FindStringIndex(text); at != nil {
			text = text[:at[0]]
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == ' ' || r == '\t' || r == '\r' })
		var name, key string
		switch len(words) {
		case 0:
			continue
		case 1:
			name, key = fmt.Sprintf("key-%d", n), words[0]
		case 2:
			name, key = words[0], words[1]
		default:
			return nil, fmt.Errorf("line %d has %d words: want a key, name:key or name key", n, len(words))
		}
		if !printable(name) || !printable(key) {
			return nil, fmt.Errorf("line %d: name and key must be printable ASCII", n)
		}
		one := apiKey{name, sha256.Sum256([]byte(key))}
		if first, again := at[one.digest]; again {
			return nil, fmt.Errorf("line %d has the key of line %d again: give each its own", n, first)
		}
		at[one.digest] = n
		k.list = append(k.list, one)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(k.list) == 0 {
		return nil, errors.New("no key in it: want one a line")
	}
	return k, nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// comment is what a line may end with. A # within a key is part of it.
var comment = regexp.MustCompile(`(^|[ \t])#`)

// Join returns the keys of both; either may be nil.
func (k *Keys) Join(other *Keys) *Keys {
	switch {
	case k == nil:
		return other
	case other == nil:
		return k
	}
	return &Keys{append(k.list[:len(k.list):len(k.list)], other.list...)}
}

// Len is how many keys there are.
func (k *Keys) Len() int {
	if k == nil {
		return 0
	}
	return len(k.list)
}

// client returns the name of who holds key. It takes as long for any key of that length, right or wrong.
func (k *Keys) client(key []byte) (name string, ok bool) {
	digest := sha256.Sum256(key)
	found := -1
	for i := range k.list {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], k.list[i].digest[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return k.list[found].name, true
}

// SetKeys replaces the keys, from the next request on; nil takes everybody.
func (s *Server) SetKeys(k *Keys) { s.keys.Store(k) }

// authorize returns who sends a request by its key, "" where none is wanted, or a 401.
func (s *Server) authorize(h *fasthttp.RequestHeader) (client string, err *apiError) {
	keys := s.keys.Load()
	if keys == nil {
		return "", nil
	}
	scheme, key, _ := bytes.Cut(h.Peek("Authorization"), []byte(" "))
	key = bytes.TrimSpace(key)
	if !bytes.EqualFold(scheme, []byte("Bearer")) || len(key) == 0 {
		return "", unauthorized("no API key: send one as the header Authorization: Bearer KEY")
	}
	client, ok := keys.client(key)
	if !ok {
		return "", unauthorized("this API key is not known")
	}
	return client, nil
}

// unauthorized is a 401, as OpenAI's.
func unauthorized(message string) *apiError {
	return &apiError{status: fasthttp.StatusUnauthorized, kind: invalidRequest, code: "invalid_api_key", message: message}
}

// bodyLimit lets who has no key send no body to speak of: the server would hold it in memory before it looks.
func (s *Server) bodyLimit(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	defer func() {
		if recover() != nil { // no handler is above: the request's own meets the bug again, and tells of it
			c.MaxRequestBodySize = strangersBody
		}
	}()
	if _, err := s.authorize(h); err != nil {
		c.MaxRequestBodySize = strangersBody
	}
	return c
}

// strangersBody is enough for a request that is only sent to the wrong door, so that it gets its own answer.
const strangersBody = 16 << 10
