package serve

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/valyala/fasthttp"
)

//go:embed page
var pageFiles embed.FS

const pagePath = "/"

// pageTypes are the types of the page's files, by extension. The machine's own table may lack or change some.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pagePolicy lets the page load its own files and speak to its own server, and nothing else: text that a model
// makes up cannot become a script.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageFile is a file of the page as it is sent.
type pageFile struct {
	kind, etag string
	body       []byte
}

// page is what stands under each path.
var page = loadPage()

func loadPage() map[string]pageFile {
	files := map[string]pageFile{}
	err := fs.WalkDir(pageFiles, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := pageFiles.ReadFile(name)
		sum := sha256.Sum256(body)
		files["/"+name] = pageFile{pageTypes[path.Ext(name)], fmt.Sprintf(`"%x"`, sum[:8]), body}
		return err
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	files[pagePath] = files["/page/index.html"]
	files["/favicon.ico"] = files["/page/icon.svg"] // what a browser asks for that has not seen the page
	return files
}

// showPage answers with a file of the page. Browsers keep it, and ask each time whether it is still the same: the
// next version of the server may have another.
func (s *Server) showPage(ctx *fasthttp.RequestCtx) error {
	file := page[string(ctx.Path())]
	h := &ctx.Response.Header
	h.Set("ETag", file.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if bytes.Contains(ctx.Request.Header.Peek("If-None-Match"), []byte(file.etag)) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	ctx.SetContentType(file.kind)
	ctx.SetBody(file.body)
	return nil
}
