package jinja

import (
	"slices"
	"strings"
)

// maxNesting bounds how deeply blocks, brackets and operators nest: parsing and rendering recurse.
const maxNesting = 64

// parser reads the tokens of a template. It panics with an *Error.
type parser struct {
	tokens []token
	i      int
	depth  int
	loops  int // loops around
}

func (p *parser) peek() token { return p.tokens[p.i] }

func (p *parser) next() token {
	t := p.tokens[p.i]
	if t.kind != kindEnd {
		p.i++
	}
	return t
}

func (p *parser) fail(t token, format string, args ...any) { panic(failure(t.at, format, args...)) }

// is says whether the next token is this operator or name.
func (p *parser) is(k kind, text string) bool { return p.peek().kind == k && p.peek().text == text }

// take takes the next token if it is this one.
func (p *parser) take(k kind, text string) bool {
	if !p.is(k, text) {
		return false
	}
	p.i++
	return true
}

func (p *parser) operator(text string) bool { return p.take(kindOperator, text) }
func (p *parser) keyword(text string) bool  { return p.take(kindName, text) }

func (p *parser) expect(k kind, text string) token {
	if !p.is(k, text) {
		p.fail(p.peek(), "want %q, found %s", text, p.peek())
	}
	return p.next()
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != kindName {
		p.fail(t, "want a name, found %s", t)
	}
	return t.text
}

func (t token) String() string {
	switch t.kind {
	case kindEnd:
		return "the end of the template"
	case kindText:
		return "text"
	}
	return `"` + t.text + `"`
}

// nest counts one level down until the function it returns is called.
func (p *parser) nest() func() {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.peek(), "nested more than %d deep", maxNesting)
	}
	return func() { p.depth-- }
}

// body reads statements up to a block that begins with one of ends, which it leaves behind its name.
func (p *parser) body(ends ...string) (list []statement, end string) {
	defer p.nest()()
	for {
		t := p.next()
		switch t.kind {
		case kindEnd:
			if len(ends) > 0 {
				p.fail(t, "want %s, found the end of the template", strings.Join(ends, " or "))
			}
			return list, ""
		case kindText:
			list = append(list, textStatement(t.text))
		case kindPrintBegin:
			list = append(list, printStatement{p.tuple(), t.at})
			p.expect(kindPrintEnd, "}}")
		case kindBlockBegin:
			name := p.peek()
			if slices.Contains(ends, name.text) {
				p.next()
				return list, name.text
			}
			list = append(list, p.block())
		}
	}
}

// end takes the end of a block's tag.
func (p *parser) end() { p.expect(kindBlockEnd, "%}") }

// whole is body up to one end, and that block's tag.
func (p *parser) whole(end string) []statement {
	p.end()
	list, _ := p.body(end)
	p.end()
	return list
}

// block reads a block behind its {%.
func (p *parser) block() statement {
	t := p.next()
	if t.kind != kindName {
		p.fail(t, "want the name of a block, found %s", t)
	}
	switch t.text {
	case "if":
		return p.ifBlock()
	case "for":
		return p.forBlock(t.at)
	case "set":
		return p.setBlock(t.at)
	case "macro":
		return p.macroBlock()
	case "filter":
		s := &filterStatement{at: t.at}
		s.filter = p.filter(&capture{&s.body}, t.at)
		s.body = p.whole("endfilter")
		return s
	case "generation": // where training is to learn from; says nothing to a reader
		return group(p.whole("endgeneration"))
	case "break", "continue":
		if p.loops == 0 {
			p.fail(t, "%s outside of a loop", t.text)
		}
		p.end()
		if t.text == "break" {
			return breakStatement
		}
		return continueStatement
	case "include", "import", "from", "extends", "block":
		p.fail(t, "%s: a chat template is one file: other templates are not read", t.text)
	}
	p.fail(t, "no block is called %.40q: there are if, for, set, macro, filter, break, continue and generation", t.text)
	return nil
}

func (p *parser) ifBlock() statement {
	s := &ifStatement{}
	for {
		s.conditions = append(s.conditions, p.expression())
		p.end()
		body, end := p.body("elif", "else", "endif")
		s.bodies = append(s.bodies, body)
		if end == "else" {
			s.otherwise = p.whole("endif")
			return s
		}
		if end == "endif" {
			p.end()
			return s
		}
	}
}

func (p *parser) forBlock(at int) statement {
	s := &forStatement{at: at, names: p.targets()}
	p.expect(kindName, "in")
	s.over = p.or() // an if that follows is the loop's
	for p.operator(",") {
		p.fail(p.peek(), "want one list to loop over")
	}
	if p.keyword("if") {
		s.filter = p.expression()
	}
	if p.is(kindName, "recursive") {
		p.fail(p.peek(), "recursive loops are not supported")
	}
	p.end()
	p.loops++
	body, end := p.body("else", "endfor")
	p.loops--
	s.body = body
	if end == "else" {
		s.otherwise = p.whole("endfor")
	} else {
		p.end()
	}
	return s
}

// targets reads names with commas between them.
func (p *parser) targets() []string {
	open := p.operator("(")
	names := []string{p.name()}
	for p.operator(",") {
		names = append(names, p.name())
	}
	if open {
		p.expect(kindOperator, ")")
	}
	return names
}

func (p *parser) setBlock(at int) statement {
	s := &setStatement{at: at, names: p.targets()}
	if len(s.names) == 1 && p.operator(".") {
		s.attribute = p.name()
	}
	if p.operator("=") {
		s.value = p.tuple()
		p.end()
		return s
	}
	if len(s.names) > 1 || s.attribute != "" {
		p.fail(p.peek(), `want "="`)
	}
	var body []statement
	s.value = &capture{&body}
	for p.operator("|") {
		s.value = p.filter(s.value, at)
	}
	body = p.whole("endset")
	return s
}

func (p *parser) macroBlock() statement {
	m := &macro{name: p.name()}
	p.expect(kindOperator, "(")
	for !p.operator(")") {
		if len(m.parameters) > 0 {
			p.expect(kindOperator, ",")
		}
		m.parameters = append(m.parameters, p.name())
		var absent expression
		if p.operator("=") {
			absent = p.expression()
		}
		m.defaults = append(m.defaults, absent)
	}
	loops := p.loops
	p.loops = 0
	m.body = p.whole("endmacro")
	p.loops = loops
	return m
}
