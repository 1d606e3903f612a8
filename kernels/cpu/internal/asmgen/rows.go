package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// begin opens a function of package cpu that is what doc says.
func begin(c *build.Context, name, signature, doc string) {
	function(c, name, signature, name+" is "+doc)
}

// function opens a function of package cpu.
func function(c *build.Context, name, signature string, doc ...string) {
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(doc...)
	c.SignatureExpr(signature)
}

func base(c *build.Context, name string) reg.GPVirtual {
	return c.Load(c.Param(name).Base(), c.GP64()).(reg.GPVirtual)
}

func length(c *build.Context, name string) reg.GPVirtual {
	return c.Load(c.Param(name).Len(), c.GP64()).(reg.GPVirtual)
}

func integer(c *build.Context, name string) reg.GPVirtual {
	return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual)
}

func pointer(c *build.Context, name string) reg.GPVirtual { return integer(c, name) }

// param is where a parameter stands.
func param(c *build.Context, name string) operand.Mem { return resolved(c.Param(name)) }

func resolved(v gotypes.Component) operand.Mem {
	p, err := v.Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// broadcast returns a float32 parameter in all lanes.
func broadcast(c *build.Context, name string) reg.VecVirtual {
	y := c.YMM()
	c.VBROADCASTSS(param(c, name), y)
	return y
}

// indexed is base + i·scale, i in units of scale bytes.
func indexed(base, i reg.Register, scale uint8) operand.Mem {
	return operand.Mem{Base: base, Index: i, Scale: scale}
}

// each emits a loop of i from 0 to n, step at a time; n may be 0.
func each(c *build.Context, label string, n reg.GPVirtual, step int, body func(i reg.GPVirtual)) {
	i := c.GP64()
	c.XORQ(i, i)
	c.JMP(operand.LabelRef(label + "Test"))
	c.Label(label)
	body(i)
	c.ADDQ(operand.U32(step), i)
	c.Label(label + "Test")
	c.CMPQ(i, n)
	c.JLT(operand.LabelRef(label))
}

// eachOf is each with several steps: the first while as many are left, then the next. It
// returns where the last one ended.
func eachOf(c *build.Context, label string, n reg.GPVirtual, steps []int, body func(i reg.GPVirtual, step int)) reg.GPVirtual {
	i, end := c.GP64(), c.GP64()
	c.XORQ(i, i)
	for _, step := range steps {
		loop := fmt.Sprintf("%s%d", label, step)
		c.JMP(operand.LabelRef(loop + "Test"))
		c.Label(loop)
		body(i, step)
		c.ADDQ(operand.U32(step), i)
		c.Label(loop + "Test")
		c.LEAQ(operand.Mem{Base: i, Disp: step}, end)
		c.CMPQ(end, n)
		c.JLE(operand.LabelRef(loop))
	}
	return i
}

func ret(c *build.Context) {
	c.VZEROUPPER()
	c.RET()
}

// fold reduces y's lanes to the first of an XMM register, with op(other, x, x).
func fold(c *build.Context, y reg.VecVirtual, op func(other, x reg.VecVirtual)) reg.VecVirtual {
	x, t := y.AsX().(reg.VecVirtual), c.XMM()
	c.VEXTRACTI128(operand.U8(1), y, t)
	op(t, x)
	c.VPSHUFD(operand.U8(0x4e), x, t)
	op(t, x)
	c.VPSHUFD(operand.U8(0xb1), x, t)
	op(t, x)
	return x
}

// result stores the first float32 of x as result i.
func result(c *build.Context, i int, x reg.VecVirtual) {
	c.VMOVSS(x, resolved(c.ReturnIndex(i)))
}
