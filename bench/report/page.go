package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/internal/chart"
	"github.com/llmqat/llmqat/internal/replace"
)

//go:embed page.html
var pageText string

// page draws the report. html/template escapes all names, which are the world's.
var page = template.Must(template.New("page").Parse(pageText))

// shown is a set as the pages have it.
type shown struct {
	*Set
	ID       string
	Lead     string
	Facts    []fact
	Tables   []Table
	Pictures []shownPicture
}

// fact is a line about a set.
type fact struct{ Name, Value string }

type shownPicture struct {
	Title, Says string
	File        string        // of its own, for Markdown
	SVG         template.HTML // from internal/chart, which escapes names
}

// Write puts report.html, report.md and the pictures of the latter into a folder.
func Write(r *Report, dir string) error {
	if err := bench.CheckOut(filepath.Join(dir, jsonName)); err != nil {
		return err
	}
	var sets []shown
	for i := range r.Sets {
		s, err := r.Sets[i].show(fmt.Sprintf("set%d", i+1), dir)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Sets[i].Title, err)
		}
		sets = append(sets, s)
	}
	err := replace.File(filepath.Join(dir, "report.html"), func(w io.Writer) error { return writePage(w, sets) })
	if err != nil {
		return err
	}
	if err := replace.File(filepath.Join(dir, "report.md"), func(w io.Writer) error { return writeMarkdown(w, sets) }); err != nil {
		return err
	}
	return r.save(dir)
}

// show draws what the pages show of a set, and writes its pictures.
func (s *Set) show(id, dir string) (shown, error) {
	v := shown{Set: s, ID: id, Lead: s.lead(), Facts: s.facts(), Tables: s.tables()}
	for _, p := range s.pictures() {
		var svg bytes.Buffer
		if err := p.draw(&svg, "svg", ""); err != nil {
			return v, err
		}
		file := fmt.Sprintf("%s-%s.svg", id, p.name)
		err := replace.File(filepath.Join(dir, file), func(w io.Writer) error {
			return p.draw(w, "svg", s.Title+": "+strings.ToLower(p.title[:1])+p.title[1:])
		})
		if err != nil {
			return v, err
		}
		v.Pictures = append(v.Pictures, shownPicture{p.title, p.says, file, inline(svg.String(), s.Title+": "+p.title)})
	}
	return v, nil
}

// inline makes a picture a part of a page: what stands before its first element goes, and a
// name for those who do not see it comes.
func inline(svg, name string) template.HTML {
	_, svg, _ = strings.Cut(svg, "<svg ")
	return template.HTML(fmt.Sprintf(`<svg role="img" aria-label="%s" %s`, template.HTMLEscapeString(name), svg))
}

func writePage(w io.Writer, sets []shown) error {
	var colours []template.CSS
	for i := range chart.Colours {
		colours = append(colours, template.CSS(chart.Hex(i)))
	}
	return page.Execute(w, struct {
		Sets    []shown
		Colours []template.CSS
		Reading []reading
	}{sets, colours, howToRead})
}

// lead says in a line what the tables are of.
func (s *Set) lead() string {
	return fmt.Sprintf("%s parameters, held against %s in float32; quality on %s; speed on %s.", commas(float64(s.Teacher.Parameters)), s.Teacher.Name,
		s.Texts[0].Name, s.machine())
}

// machine is what all was measured on.
func (s *Set) machine() string {
	m := &s.Speed.Machine
	if m.GPU != "" {
		return m.GPU + ", " + m.Device
	}
	return fmt.Sprintf("%s, %d threads, %s", m.CPU, m.Ceilings[0].Threads, m.Device)
}

// facts say what was measured on what.
func (s *Set) facts() (list []fact) {
	add := func(name, format string, args ...any) { list = append(list, fact{name, fmt.Sprintf(format, args...)}) }
	t := s.Teacher
	add("teacher", "%s: %s parameters, %d layers, vocabulary %s, context %s; %s", t.Name, commas(float64(t.Parameters)), t.Layers,
		commas(float64(t.Vocabulary)), commas(float64(t.Context)), short(t.Hash))
	for i, x := range s.Texts {
		q := &s.Models[0].Quality[i]
		add("text", "%s: %s windows %s; %s tokens predicted; the teacher's perplexity there is %.3f ± %.3f", x.Name, commas(float64(x.Windows)), x.Is,
			commas(float64(q.Tokens)), q.TeacherPerplexity.Value, q.TeacherPerplexity.SE)
	}
	if s.Models[0].Tasks != nil {
		add("tasks", "items of %s", s.asked())
	}
	c := s.Speed.Machine.Ceilings[0]
	add("machine", "%s, %s", s.machine(), s.Speed.Machine.OS)
	floats := fmt.Sprintf("float32 peak %s GMAC/s", digits(c.Float32Peak/1e9))
	if c.Float16Peak > 0 {
		floats = fmt.Sprintf("float16 peak %s GMAC/s", digits(c.Float16Peak/1e9))
	}
	add("measured limits", "reads %s GB/s, int8 peak %s GMAC/s (%s with 8-bit weights), %s", digits(c.ReadBandwidth/1e9), digits(c.Int8Peak/1e9), digits(c.Int8W8Peak/1e9), floats)
	add("measured", "%s by llmqat %s", s.Date.Format("2006-01-02 15:04 UTC"), s.Version)
	for _, n := range s.Notes {
		add("note", "%s", n)
	}
	add("command", "%s", s.Command)
	return list
}

// short cuts a hash to what people compare.
func short(hash string) string { return hash[:min(len(hash), len("sha256:")+12)] }
