package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// document is openapi.yaml, checked, which checks what the server says.
type document struct {
	*openapi3.T
	t *testing.T
}

func loadDocument(t *testing.T) document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	return document{doc, t}
}

// operation returns what the document says of a request, which may be below a path that ends in a parameter.
func (d document) operation(method, path string) *openapi3.Operation {
	item := d.Paths.Value(path)
	if strings.HasPrefix(path, modelsPath) {
		item = d.Paths.Value(modelsPath + "{model}")
	}
	if item == nil {
		return nil
	}
	return item.GetOperation(method)
}

// schema checks that data is JSON of the schema.
func (d document) schema(what string, schema *openapi3.SchemaRef, data []byte) {
	d.t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		d.t.Errorf("%s: %v: %.300s", what, err, data)
		return
	}
	if err := schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		d.t.Errorf("%s: %.1000s\n%v", what, data, err)
	}
}

// chunks are the schemas of the events of streams.
var chunks = map[string]string{"/v1/completions": "CompletionChunk", "/v1/chat/completions": "ChatCompletionChunk"}

// answer checks that the document has this answer to the request: status, type, headers and body.
func (d document) answer(method, path string, resp *http.Response, data []byte) {
	d.t.Helper()
	what := fmt.Sprintf("%s %s: %d", method, path, resp.StatusCode)
	op := d.operation(method, path)
	if op == nil { // only errors have no operation
		d.schema(what, d.Components.Schemas["Error"], data)
		return
	}
	answer := op.Responses.Status(resp.StatusCode)
	if answer == nil {
		d.t.Errorf("%s is not among the answers: %.300s", what, data)
		return
	}
	for _, name := range []string{"Retry-After", "Allow", "WWW-Authenticate"} {
		if v := resp.Header.Get(name); v != "" && answer.Value.Headers[name] == nil {
			d.t.Errorf("%s: the header %s: %s is not described", what, name, v)
		}
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	content := answer.Value.Content[kind]
	switch {
	case content == nil:
		d.t.Errorf("%s: the content type %q is not described", what, kind)
	case kind == "application/json":
		d.schema(what, content.Schema, data)
	case kind == "text/event-stream":
		d.events(what, d.Components.Schemas[chunks[path]], data)
	}
}

// events checks every chunk of a stream that ends well.
func (d document) events(what string, chunk *openapi3.SchemaRef, data []byte) {
	d.t.Helper()
	events := strings.Split(strings.TrimSuffix(string(data), "\n\n"), "\n\n")
	for _, e := range events[:len(events)-1] {
		if payload, ok := strings.CutPrefix(e, "data: "); ok {
			d.schema(what, chunk, []byte(payload))
		} else if !strings.HasPrefix(e, ":") {
			d.t.Errorf("%s: neither data nor a comment: %q", what, e)
		}
	}
	if events[len(events)-1] != "data: [DONE]" {
		d.t.Errorf("%s: ends with %q", what, events[len(events)-1])
	}
}

func TestDocumentIsServed(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	file, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if resp, data := s.do("GET", "/openapi.yaml", ""); !bytes.Equal(data, file) || resp.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%v, %d bytes, want the file's %d", resp.Header, len(data), len(file))
	}
}

// Each path is in the document with its method, and no other.
func TestDocumentHasThePaths(t *testing.T) {
	d := loadDocument(t)
	want := map[string]string{}
	for path, e := range endpoints {
		if path == modelsPath {
			path += "{model}"
		}
		want[path] = e.method
	}
	got := map[string]string{}
	for path, item := range d.Paths.Map() {
		got[path] = strings.Join(slices.Sorted(maps.Keys(item.Operations())), " ")
	}
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s %s is served, serve/openapi.yaml describes %q: add it there", want[path], path, got[path])
		}
	}
	for path := range got {
		if want[path] == "" {
			t.Errorf("serve/openapi.yaml describes %s, which is not served", path)
		}
	}
}
