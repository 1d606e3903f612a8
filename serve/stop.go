package serve

import "strings"

// stopMatcher lets text through until a stop string is complete. Of matches the one that ends first counts, of
// those that end together the longest: what is cut does not depend on how the text was split into tokens.
type stopMatcher struct {
	stops []string // none empty
	held  string   // the end of the text so far: it may begin a stop string
}

// push appends text and returns what may be shown now. After stopped, all of the text that is ever shown was
// returned.
func (m *stopMatcher) push(text string) (show string, stopped bool) {
	if len(m.stops) == 0 {
		return text, false
	}
	buf := m.held + text
	for end := len(m.held) + 1; end <= len(buf); end++ {
		longest := 0
		for _, s := range m.stops {
			if len(s) > longest && strings.HasSuffix(buf[:end], s) {
				longest = len(s)
			}
		}
		if longest > 0 {
			m.held = ""
			return buf[:end-longest], true
		}
	}
	keep := m.begins(buf)
	m.held = buf[keep:]
	return buf[:keep], false
}

// begins returns where the longest end of buf starts that begins a stop string.
func (m *stopMatcher) begins(buf string) int {
	for i := max(0, len(buf)-maxStopBytes+1); i < len(buf); i++ {
		for _, s := range m.stops {
			if strings.HasPrefix(s, buf[i:]) {
				return i
			}
		}
	}
	return len(buf)
}

// flush returns what was held back: the text ended without a stop string.
func (m *stopMatcher) flush() string {
	show := m.held
	m.held = ""
	return show
}
