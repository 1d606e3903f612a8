package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// writeMarkdown writes what the page has, its pictures as files beside it.
func writeMarkdown(out io.Writer, sets []shown) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "# Quality and speed, side by side\n\nThe same models, measured as they are served by llmqat: how near each comes to its float teacher, and how fast it is on this machine.\n")
	for i := range sets {
		s := &sets[i]
		fmt.Fprintf(w, "\n## %s\n\n%s\n", plain(s.Title), plain(s.Lead))
		for j, t := range s.Tables {
			fmt.Fprintf(w, "\n### %s\n\n", plain(t.Title))
			t.markdown(w)
			if j > 0 {
				continue
			}
			for _, p := range s.Pictures {
				fmt.Fprintf(w, "\n![%s](%s)\n\n%s\n", plain(s.Title+": "+p.Title), p.File, plain(p.Says))
			}
		}
		fmt.Fprint(w, "\n### What was measured, and where\n\n")
		for _, f := range s.Facts {
			fmt.Fprintf(w, "- %s: %s\n", f.Name, plain(f.Value))
		}
	}
	fmt.Fprint(w, "\n## How to read it\n\n")
	for _, r := range howToRead {
		fmt.Fprintf(w, "- **%s**: %s\n", r.Name, plain(r.Text))
	}
	return w.Flush()
}

// markdown writes a table, numbers right.
func (t *Table) markdown(w io.Writer) {
	head, rule := "| W-A-KV |", "| --- |"
	for _, c := range t.Columns {
		head, rule = head+" "+plain(c.Name)+" |", rule+" ---: |"
	}
	fmt.Fprintf(w, "%s\n%s\n", head, rule)
	for _, r := range t.Rows {
		mark := ""
		if r.Strong {
			mark = "**"
		}
		fmt.Fprintf(w, "| %s%s%s |", mark, plain(r.Name), mark)
		for _, c := range r.Cells {
			note := ""
			if c.Note != "" {
				note = " " + plain(c.Note)
			}
			fmt.Fprintf(w, " %s%s%s%s |", mark, plain(c.Value), mark, note)
		}
		fmt.Fprintln(w)
	}
}

// plain takes from s what Markdown or HTML would make something of.
func plain(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return special.Replace(s)
}

var special = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "|", `\|`, "#", `\#`, "!", `\!`)
