package steadyotel_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.yaml.in/yaml/v3"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A rule is one of docs/alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations"`
}

func alertRules(t *testing.T) []rule {
	t.Helper()
	content, err := os.ReadFile("../docs/alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct{ Rules []rule }
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	require.Len(t, file.Groups, 1)
	require.NotEmpty(t, file.Groups[0].Rules)
	return file.Groups[0].Rules
}

// A panel is one of docs/grafana.json.
type panel struct {
	Type, Title, Description string
	Targets                  []struct{ Expr, LegendFormat string }
}

func dashboard(t *testing.T) (panels []panel, variables []string) {
	t.Helper()
	content, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	var board struct {
		Panels     []panel
		Templating struct{ List []struct{ Definition string } }
	}
	require.NoError(t, json.Unmarshal(content, &board))
	require.NotEmpty(t, board.Panels)
	for _, variable := range board.Templating.List {
		variables = append(variables, variable.Definition)
	}
	return board.Panels, variables
}

// A vocabulary is what Prometheus scrapes: the labels of each metric, and the values of each label.
type vocabulary struct {
	metrics map[string]map[string]bool
	values  map[string]map[string]bool
}

// scraped is what the exporter makes of everything that is recorded, and what each scrape adds.
func scraped(t *testing.T) vocabulary {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
	require.NoError(t, err)
	provider := sdk.NewMeterProvider(sdk.WithReader(exporter))
	synctest.Test(t, func(t *testing.T) { recordEverything(t, provider) })
	below := otelhttp.NewTransport(steadyhttptest.NewTransport(steadyhttptest.Status(200)), otelhttp.WithMeterProvider(provider))
	response, err := (&http.Client{Transport: below}).Get("https://api.example.com/")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())

	families, err := registry.Gather()
	require.NoError(t, err)
	v := vocabulary{metrics: make(map[string]map[string]bool), values: allValues()}
	for _, family := range families {
		labels := map[string]bool{"job": true, "instance": true}
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				labels[label.GetName()] = true
			}
		}
		v.metrics[family.GetName()] = labels
		if family.GetMetric()[0].GetHistogram() != nil {
			buckets := maps.Clone(labels)
			buckets["le"] = true
			v.metrics[family.GetName()+"_bucket"] = buckets
			v.metrics[family.GetName()+"_sum"], v.metrics[family.GetName()+"_count"] = labels, labels
		}
	}
	return v
}

// allValues are those of each label that has few.
func allValues() map[string]map[string]bool {
	classes, reasons, states, pauses := make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for i := range 100 { // those beyond the last are named by their number
		classes[steadyhttp.Class(i).String()] = true
		reasons[steadyhttp.StopReason(i).String()] = true
		states[steadyhttp.BreakerState(i).String()] = true
		pauses[steadyhttp.PauseState(i).String()] = true
	}
	return map[string]map[string]bool{
		"steadyhttp_class": classes, "steadyhttp_stopped": reasons,
		"steadyhttp_breaker_state": states, "steadyhttp_breaker_from": states, "steadyhttp_breaker_to": states,
		"steadyhttp_pause_from": pauses, "steadyhttp_pause_to": pauses,
		"steadyhttp_breaker_shadow": {"true": true, "false": true},
		"steadyhttp_breaker_reason": {"failures": true, "probe": true, "fleet": true, "by_hand": true},
		"steadyhttp_kind": {
			"successful_without_retry": true, "successful_with_retry": true,
			"failed_without_retry": true, "failed_with_retry": true,
		},
	}
}

var (
	selectors = regexp.MustCompile(`\b([a-z_]+)(?:\{([^}]*)\}|\[)`)
	matchers  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	groupings = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	labelUses = regexp.MustCompile(`\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}`)
	ours      = regexp.MustCompile(`\b(?:steadyhttp|http)_[a-z_]+`)
)

// check says which names in a query are nobody's.
func (v vocabulary) check(query string) (wrong []string) {
	known := make(map[string]bool) // the labels of all metrics of the query
	for _, selector := range selectors.FindAllStringSubmatch(query, -1) {
		labels := v.metrics[selector[1]]
		if labels == nil {
			wrong = append(wrong, "metric "+selector[1])
		}
		maps.Copy(known, labels)
		for _, matcher := range matchers.FindAllStringSubmatch(selector[2], -1) {
			if !labels[matcher[1]] {
				wrong = append(wrong, "label "+matcher[1]+" of "+selector[1])
			}
			wrong = append(wrong, v.checkValues(matcher[1], matcher[2], matcher[3])...)
		}
	}
	for _, grouping := range groupings.FindAllStringSubmatch(query, -1) {
		for _, label := range strings.Split(grouping[1], ", ") {
			if !known[label] {
				wrong = append(wrong, "label "+label)
			}
		}
	}
	for _, name := range ours.FindAllString(query, -1) { // whatever the expressions above do not see
		if v.metrics[name] == nil && !known[name] {
			wrong = append(wrong, "name "+name)
		}
	}
	return wrong
}

// checkValues says which values a label never has. An expression must match one at least.
func (v vocabulary) checkValues(label, operator, value string) (wrong []string) {
	values := v.values[label]
	if values == nil || strings.HasPrefix(value, "$") {
		return nil
	}
	alternatives := []string{value}
	if strings.HasSuffix(operator, "~") {
		alternatives = strings.Split(value, "|")
	}
	for _, alternative := range alternatives {
		whole := regexp.MustCompile("^(?:" + alternative + ")$")
		if !slices.ContainsFunc(slices.Collect(maps.Keys(values)), whole.MatchString) {
			wrong = append(wrong, "value "+alternative+" of "+label)
		}
	}
	return wrong
}

// checkLabels says which labels of a text the query does not keep.
func checkLabels(query, text string) (wrong []string) {
	kept := make(map[string]bool)
	for _, grouping := range groupings.FindAllStringSubmatch(query, -1) {
		for _, label := range strings.Split(grouping[1], ", ") {
			kept[label] = true
		}
	}
	for _, use := range labelUses.FindAllStringSubmatch(text, -1) {
		if !kept[use[1]] {
			wrong = append(wrong, "label "+use[1]+" in "+text)
		}
	}
	return wrong
}

func TestDashboard_HasNoNameThatNobodyExports(t *testing.T) {
	t.Parallel()
	exported := scraped(t)
	panels, variables := dashboard(t)
	queries := 0
	for _, panel := range panels {
		if panel.Type == "row" {
			continue
		}
		assert.NotEmpty(t, panel.Description, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			queries++
			assert.Empty(t, exported.check(target.Expr), "%s: %s", panel.Title, target.Expr)
			assert.Empty(t, checkLabels(target.Expr, target.LegendFormat), panel.Title)
		}
	}
	assert.GreaterOrEqual(t, queries, 20)
	for _, variable := range variables {
		assert.Empty(t, exported.check(variable))
	}
}

func TestDashboard_ShowsEveryMetric(t *testing.T) {
	t.Parallel()
	panels, _ := dashboard(t)
	var shown strings.Builder
	for _, panel := range panels {
		for _, target := range panel.Targets {
			shown.WriteString(target.Expr + "\n")
		}
	}
	for name, row := range documented(t, "metric") {
		assert.Contains(t, shown.String(), row[3], name)
	}
}

func TestAlerts_HaveNoNameThatNobodyExports(t *testing.T) {
	t.Parallel()
	exported := scraped(t)
	for _, rule := range alertRules(t) {
		assert.Empty(t, exported.check(rule.Expr), rule.Alert)
		for _, annotation := range rule.Annotations {
			assert.Empty(t, checkLabels(rule.Expr, annotation), rule.Alert)
		}
	}
}

// The check itself must see what is wrong.
func TestDashboard_CheckSeesWrongNames(t *testing.T) {
	t.Parallel()
	exported := scraped(t)
	for query, want := range map[string][]string{
		`rate(steadyhttp_client_call_total[5m])`:                         {"metric steadyhttp_client_call_total", "name steadyhttp_client_call_total"},
		`steadyhttp_client_calls_total{steadyhttp_reason="x"}`:           {"label steadyhttp_reason of steadyhttp_client_calls_total", "name steadyhttp_reason"},
		`steadyhttp_client_calls_total{steadyhttp_stopped="budget"}`:     {"value budget of steadyhttp_stopped"},
		`steadyhttp_client_calls_total{steadyhttp_stopped=~"paused|x"}`:  {"value x of steadyhttp_stopped"},
		`sum by (le, origin) (rate(steadyhttp_client_calls_total[5m]))`:  {"label le", "label origin"},
		`sum by (job) (rate(steadyhttp_client_retry_wait_bucket[5m]))`:   {"metric steadyhttp_client_retry_wait_bucket", "label job", "name steadyhttp_client_retry_wait_bucket"},
		`label_values(steadyhttp_client_calls, job)`:                     {"name steadyhttp_client_calls"},
		`steadyhttp_breaker_state{steadyhttp_breaker_state!="halfopen"}`: {"value halfopen of steadyhttp_breaker_state"},
	} {
		assert.Equal(t, want, exported.check(query), query)
	}
	assert.Equal(t, []string{"label job in {{job}}"}, checkLabels(`sum by (le) (x)`, "{{job}}"))
}

// The page has a section for each alert, and each section of the page that is for an alert has one.
func TestAlerts_SayWhatToDo(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/operating.md")
	require.NoError(t, err)
	anchors := make(map[string]bool)
	_, atNight, found := strings.Cut(string(content), "\n## When an alert fires\n")
	require.True(t, found)
	atNight, _, _ = strings.Cut(atNight, "\n## ")
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(atNight, -1) {
		anchors[strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")] = true
	}
	for _, rule := range alertRules(t) {
		assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		assert.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
		assert.Equal(t, "https://github.com/steadyhttp/steadyhttp/blob/main/docs/operating.md", page, rule.Alert)
		assert.True(t, anchors[anchor], "%s: %s is no section of operating.md", rule.Alert, anchor)
		delete(anchors, anchor)
	}
	assert.Empty(t, anchors, "no alert leads to these sections")
}

// promtool runs these tests, in integration/.
func TestAlerts_EachIsTestedToFireAndNotTo(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/alerts_test.yml")
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Rules []struct {
				Alert    string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, test := range file.Tests {
		for _, tested := range test.Rules {
			if len(tested.Expected) > 0 {
				fires[tested.Alert] = true
			} else {
				silent[tested.Alert] = true
			}
		}
	}
	for _, rule := range alertRules(t) {
		assert.True(t, fires[rule.Alert], "%s never fires", rule.Alert)
		assert.True(t, silent[rule.Alert], "%s always fires", rule.Alert)
	}
}
