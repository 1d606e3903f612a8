package serve

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// leastBodies are requests with nothing that could be left out.
var leastBodies = map[string]string{
	"/v1/completions":      `{"prompt":"x"}`,
	"/v1/chat/completions": `{"messages":[{"role":"user","content":"x"}]}`,
	"/tokenize":            `{"content":"x"}`,
	"/detokenize":          `{"tokens":[5]}`,
}

// with is body with the member name set to value.
func with(body, name, value string) string {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		panic(err)
	}
	members[name] = json.RawMessage(value)
	b, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// properties returns the fields of a request to path; where several schemas have one, the last.
func (d document) properties(path string) openapi3.Schemas {
	schema := d.operation("POST", path).RequestBody.Value.Content["application/json"].Schema.Value
	all := openapi3.Schemas{}
	for _, part := range schema.AllOf {
		maps.Copy(all, part.Value.Properties)
	}
	maps.Copy(all, schema.Properties)
	return all
}

// parsedFields returns the names that this package reads by methods of fields.
func parsedFields(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"raw", "has", "bool", "string", "int", "float", "object"}, method.Sel.Name) {
				return true
			}
			if of, ok := method.X.(*ast.Ident); !ok || of.Name != "f" {
				return true
			}
			if name, ok := call.Args[0].(*ast.BasicLit); ok && name.Kind == gotoken.STRING {
				s, _ := strconv.Unquote(name.Value)
				names[s] = true
			}
			return true
		})
	}
	if len(names) < 20 {
		t.Fatalf("only %d fields found in the sources: %v", len(names), names)
	}
	return slices.Sorted(maps.Keys(names))
}

// A field that the document has is checked by the parser, and one that it has not is ignored.
func TestDocumentHasTheFields(t *testing.T) {
	d := loadDocument(t)
	s := newSite(t, &fake{}, Options{})
	parsed := parsedFields(t)
	for path, e := range endpoints {
		if op := d.operation(e.method, path); op != nil && op.RequestBody != nil && leastBodies[path] == "" {
			t.Errorf("leastBodies lacks %s: its fields are not tested", path)
		}
	}
	for path, body := range leastBodies {
		properties := d.properties(path)
		for name, p := range properties {
			if !slices.Contains(parsed, name) {
				t.Errorf("%s: serve/openapi.yaml describes %q, which no parser reads", path, name)
			}
			wrong := ""
			for _, v := range []string{`{"a":[]}`, `"x"`, `1`} {
				var x any
				_ = json.Unmarshal([]byte(v), &x)
				if p.Value.VisitJSON(x, openapi3.EnableJSONSchema2020()) != nil {
					wrong = v
					break
				}
			}
			resp, data := s.do("POST", path, with(body, name, wrong))
			if param, _ := wantError(t, resp, data, 400); param != name {
				t.Errorf("%s: %s: %s: the error names %q", path, name, wrong, param)
			}
		}
		for _, name := range parsed {
			if properties[name] != nil {
				continue
			}
			if resp, data := s.do("POST", path, with(body, name, `{"a":[]}`)); resp.StatusCode != 200 {
				t.Errorf("%s reads %q, serve/openapi.yaml does not describe it: %s", path, name, data)
			}
		}
	}
	for _, r := range refused {
		if text := d.Components.Schemas["GenerateRequest"].Value.Description; !strings.Contains(text, r.name) {
			t.Errorf("serve/openapi.yaml does not say that %s is refused", r.name)
		}
	}
}

// The ends of every range are good, what lies behind them is not; a default changes nothing.
func TestDocumentHasTheRanges(t *testing.T) {
	d := loadDocument(t)
	s := newSite(t, &fake{}, Options{})
	for path, body := range leastBodies {
		if strings.HasPrefix(path, "/v1/") {
			body = with(body, "seed", "7")
		}
		refused := func(name string, v float64) bool {
			resp, data := s.do("POST", path, with(body, name, strconv.FormatFloat(v, 'f', -1, 64)))
			if resp.StatusCode == 200 {
				return false
			}
			param, _ := wantError(t, resp, data, 400)
			return param == name && !strings.Contains(string(data), contextExceeded)
		}
		for name, p := range d.properties(path) {
			schema := p.Value
			step := 1.0
			if schema.Type.Includes("number") {
				step = 1e-3
			}
			for _, end := range []struct {
				value *float64
				step  float64
			}{{schema.Min, -step}, {schema.Max, step}} {
				if end.value == nil || *end.value+end.step == *end.value { // a float64 has no 2⁶³-1
					continue
				}
				if refused(name, *end.value) && name != "best_of" {
					t.Errorf("%s: %s: %v is refused, serve/openapi.yaml has it in the range", path, name, *end.value)
				}
				if !refused(name, *end.value+end.step) {
					t.Errorf("%s: %s: %v is taken, serve/openapi.yaml ends the range at %v", path, name, *end.value+end.step, *end.value)
				}
			}
			if schema.Default == nil || !strings.HasPrefix(path, "/v1/") {
				continue
			}
			s.do("POST", path, body)
			want := s.fake.last(t)
			v, _ := json.Marshal(schema.Default)
			resp, data := s.do("POST", path, with(body, name, string(v)))
			if got := s.fake.last(t); resp.StatusCode != 200 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: %s is not what its absence means: %s %s", path, name, v, data, fmt.Sprintf("%+v, %+v", got, want))
			}
		}
	}
}
