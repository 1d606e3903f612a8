package kerneltest

import (
	"bytes"

	"github.com/llmqat/llmqat/kernels"
)

// testMemory: new memory is zero, bytes come back as they went, and views start
// where they say.
func testMemory(e *env) {
	for _, n := range []int{0, 1, 63, 64, 4097} {
		m := must(e.dev.Alloc(n))(e)
		if m.Bytes() != n {
			e.Fatalf("Alloc(%d) has %d bytes", n, m.Bytes())
		}
		got := bytes.Repeat([]byte{1}, n)
		e.dev.Download(got, m, 0)
		if !bytes.Equal(got, make([]byte, n)) {
			e.Fatalf("Alloc(%d) is not zero", n)
		}
		e.dev.Free(m)
	}
	if _, err := e.dev.Alloc(-1); err == nil {
		e.Error("Alloc(-1) gives no error")
	}

	want := []int32{1, -2, 3, -4, 5}
	b := upload(e, want)
	equal(e, "download", download(e, b), want)
	equal(e, "download of a slice", download(e, b.Slice(2, 4)), want[2:4])
	kernels.Upload(e.dev, b.Slice(1, 3), []int32{7, 8})
	equal(e, "after an upload to a slice", download(e, b), []int32{1, 7, 8, -4, 5})

	kernels.Copy(e.dev, b.Slice(0, 2), b.Slice(3, 5))
	equal(e, "after a copy within", download(e, b), []int32{-4, 5, 8, -4, 5})
	c := upload(e, []int32{9, 9, 9})
	kernels.Copy(e.dev, c.Slice(1, 3), b.Slice(1, 3))
	equal(e, "after a copy from elsewhere", download(e, c), []int32{9, 5, 8})

	host := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	m := must(e.dev.Import(host, nil))(e)
	got := make([]byte, 3)
	e.dev.Download(got, m, 4)
	equal(e, "import", got, host[4:7])
	e.dev.Free(m)
}
