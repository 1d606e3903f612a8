package jinja

import "strconv"

// expression is one value or, where it has no brackets around, one choice between two: a if b else c.
func (p *parser) expression() expression {
	defer p.nest()()
	e := p.or()
	for p.is(kindName, "if") {
		at := p.next().at
		c := &conditional{then: e, condition: p.or(), at: at}
		if p.keyword("else") {
			c.otherwise = p.expression()
		}
		e = c
	}
	return e
}

// tuple is an expression, or several with commas between them.
func (p *parser) tuple() expression {
	e := p.expression()
	if !p.is(kindOperator, ",") {
		return e
	}
	l := &listLiteral{items: []expression{e}, tuple: true}
	for p.operator(",") {
		if p.closes() {
			break
		}
		l.items = append(l.items, p.expression())
	}
	return l
}

// closes says whether what comes next can stand behind the last comma of a list.
func (p *parser) closes() bool {
	switch t := p.peek(); t.kind {
	case kindPrintEnd, kindBlockEnd, kindEnd:
		return true
	case kindOperator:
		return t.text == ")" || t.text == "]" || t.text == "}" || t.text == "="
	}
	return false
}

func (p *parser) or() expression {
	e := p.and()
	for p.keyword("or") {
		e = &logical{left: e, right: p.and(), or: true}
	}
	return e
}

func (p *parser) and() expression {
	e := p.not()
	for p.keyword("and") {
		e = &logical{left: e, right: p.not()}
	}
	return e
}

func (p *parser) not() expression {
	if p.keyword("not") {
		defer p.nest()()
		return &negation{p.not()}
	}
	return p.comparison()
}

func (p *parser) comparison() expression {
	first := p.sum()
	var c *comparison
	for {
		t := p.peek()
		op := ""
		switch {
		case t.kind == kindOperator && (t.text == "==" || t.text == "!=" || t.text == "<" || t.text == "<=" || t.text == ">" || t.text == ">="):
			op = p.next().text
		case p.keyword("in"):
			op = "in"
		case p.is(kindName, "not") && p.tokens[p.i+1].kind == kindName && p.tokens[p.i+1].text == "in":
			p.i += 2
			op = "not in"
		default:
			if c == nil {
				return first
			}
			return c
		}
		if c == nil {
			c = &comparison{first: first}
		}
		c.operators = append(c.operators, op)
		c.operands = append(c.operands, p.sum())
		c.at = append(c.at, t.at)
	}
}

// binary reads operands of next with any of ops between them, the left ones first.
func (p *parser) binary(next func() expression, ops ...string) expression {
	e := next()
	for {
		t := p.peek()
		found := false
		for _, op := range ops {
			found = found || p.operator(op)
		}
		if !found {
			return e
		}
		e = &arithmetic{op: t.text, left: e, right: next(), at: t.at}
	}
}

func (p *parser) sum() expression     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expression  { return p.binary(p.product, "~") }
func (p *parser) product() expression { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expression {
	return p.binary(func() expression { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) expression {
	t := p.peek()
	var e expression
	if p.operator("-") || p.operator("+") {
		leave := p.nest()
		e = p.unary(false)
		leave()
		e = &sign{e, t.text == "-", t.at}
	} else {
		e = p.postfix(p.primary())
	}
	if filters {
		e = p.filters(e)
	}
	return e
}

// filters reads filters, tests and calls behind e.
func (p *parser) filters(e expression) expression {
	for {
		t := p.peek()
		switch {
		case p.operator("|"):
			e = p.filter(e, t.at)
		case p.keyword("is"):
			e = p.test(e, t.at)
		case p.is(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// filter reads the name and the arguments of a filter of e.
func (p *parser) filter(e expression, at int) expression {
	t := p.peek()
	name := p.name()
	f := &applied[value]{apply: filters[name], value: e, at: at}
	if f.apply == nil {
		p.fail(t, "no filter is called %.40q", name)
	}
	if p.is(kindOperator, "(") {
		f.arguments = p.arguments()
	}
	return f
}

// test reads what e is compared with behind "is".
func (p *parser) test(e expression, at int) expression {
	not := p.keyword("not")
	t := p.peek()
	name := p.name()
	c := &applied[bool]{apply: tests[name], value: e, at: at}
	if c.apply == nil {
		p.fail(t, "no test is called %.40q", name)
	}
	switch a := p.peek(); {
	case p.is(kindOperator, "("):
		c.arguments = p.arguments()
	case a.kind == kindString, a.kind == kindInt, a.kind == kindFloat, p.is(kindOperator, "["), p.is(kindOperator, "{"),
		a.kind == kindName && a.text != "else" && a.text != "or" && a.text != "and" && a.text != "is" && a.text != "not" && a.text != "if" && a.text != "in":
		c.arguments.pos = []expression{p.postfix(p.primary())}
	}
	if not {
		return &negation{c}
	}
	return c
}

func (p *parser) primary() expression {
	t := p.next()
	switch t.kind {
	case kindName:
		switch t.text {
		case "true", "True":
			return literal{true}
		case "false", "False":
			return literal{false}
		case "none", "None":
			return literal{nil}
		case "if", "else", "and", "or", "not", "in", "is":
			p.fail(t, "want a value, found %s", t)
		}
		return &variable{t.text, t.at}
	case kindString:
		s := t.text
		for p.peek().kind == kindString {
			s += p.next().text
		}
		return literal{fromTemplate(s)}
	case kindInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			p.fail(t, "%s is no number of 64 bits", t)
		}
		return literal{n}
	case kindFloat:
		x, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			p.fail(t, "%s is no number", t)
		}
		return literal{x}
	case kindOperator:
		switch t.text {
		case "(":
			return p.brackets()
		case "[":
			l := &listLiteral{}
			for !p.operator("]") {
				p.comma(len(l.items), "]", func() { l.items = append(l.items, p.expression()) })
			}
			return l
		case "{":
			d := &dictLiteral{at: t.at}
			for !p.operator("}") {
				p.comma(len(d.keys), "}", func() {
					d.keys = append(d.keys, p.expression())
					p.expect(kindOperator, ":")
					d.values = append(d.values, p.expression())
				})
			}
			return d
		}
	}
	p.fail(t, "want a value, found %s", t)
	return nil
}

// comma reads an item of a list, with the comma before it; the last may have one behind it.
func (p *parser) comma(n int, end string, item func()) {
	if n > 0 {
		p.expect(kindOperator, ",")
		if p.is(kindOperator, end) {
			return
		}
	}
	item()
}

// brackets reads what stands behind a "(".
func (p *parser) brackets() expression {
	if p.operator(")") {
		return &listLiteral{tuple: true}
	}
	e := p.tuple()
	p.expect(kindOperator, ")")
	return e
}

// postfix reads attributes, items, slices and calls behind e.
func (p *parser) postfix(e expression) expression {
	for {
		t := p.peek()
		switch {
		case p.operator("."):
			if n := p.peek(); n.kind == kindInt {
				i, _ := strconv.ParseInt(p.next().text, 10, 64)
				e = &item{e, literal{i}, t.at}
			} else {
				e = &attribute{e, p.name(), t.at}
			}
		case p.operator("["):
			e = p.subscript(e, t.at)
		case p.is(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// subscript reads an item or a slice of e behind its "[".
func (p *parser) subscript(e expression, at int) expression {
	var parts [3]expression
	n := 0
	for !p.operator("]") {
		if p.operator(":") {
			if n++; n == len(parts) {
				p.fail(p.peek(), "a slice has at most three parts")
			}
			continue
		}
		if parts[n] != nil {
			p.fail(p.peek(), `want "]", found %s`, p.peek())
		}
		parts[n] = p.expression()
	}
	if n > 0 {
		return &slice{value: e, from: parts[0], to: parts[1], step: parts[2], at: at}
	}
	if parts[0] == nil {
		panic(failure(at, "an index is missing"))
	}
	return &item{e, parts[0], at}
}

func (p *parser) call(e expression) expression {
	at := p.peek().at
	return &call{e, p.arguments(), at}
}

// arguments reads a list of arguments from its "(".
func (p *parser) arguments() (a argumentList) {
	p.expect(kindOperator, "(")
	n := 0
	for !p.operator(")") {
		p.comma(n, ")", func() {
			if t := p.peek(); t.kind == kindName && p.tokens[p.i+1].kind == kindOperator && p.tokens[p.i+1].text == "=" {
				p.i += 2
				a.names = append(a.names, t.text)
				a.named = append(a.named, p.expression())
			} else if len(a.names) > 0 {
				p.fail(t, "a value behind named arguments")
			} else {
				a.pos = append(a.pos, p.expression())
			}
		})
		n++
	}
	return a
}
