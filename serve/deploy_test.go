package serve

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Dashboard, alerts and the scaling of replicas ask for metrics that there are.
func TestDeployedQueries(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	s.complete(goodBody)
	kinds := s.scrape().kinds
	dashboard, err := os.ReadFile("../deploy/grafana/llmqat.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(dashboard) {
		t.Error("the dashboard is no JSON")
	}
	queries := map[string]*regexp.Regexp{
		"../deploy/grafana/llmqat.json":     regexp.MustCompile(`"(?:expr|query)": "(.*)"`),
		"../deploy/prometheus/rules.yaml":   regexp.MustCompile(`(?m)^ +expr: (.*)$`),
		"../deploy/prometheus/adapter.yaml": regexp.MustCompile(`(?m)^- seriesQuery: (.*)$`),
		"../deploy/kubernetes/serve.yaml":   regexp.MustCompile(`metric: \{name: (.*?)\}`),
	}
	name := regexp.MustCompile(`\bllmqat_\w+`)
	for file, query := range queries {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, q := range query.FindAllStringSubmatch(string(data), -1) {
			for _, series := range name.FindAllString(q[1], -1) {
				n++
				kind := kinds[metricName(series, kinds)]
				if kind == "" {
					t.Errorf("%s asks for %s, which is not there", file, series)
				}
				if rated := strings.Contains(q[1], "rate("+series) || strings.Contains(q[1], "increase("+series); rated == (kind == "gauge") {
					t.Errorf("%s: %s is a %s in %s", file, series, kind, q[1])
				}
			}
		}
		if n == 0 {
			t.Errorf("%s asks for nothing", file)
		}
	}
}
