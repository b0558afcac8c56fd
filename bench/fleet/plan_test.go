package main

import (
	"bytes"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/steadyhttp/steadyhttp"
)

func parsed(t *testing.T, args ...string) *plan {
	t.Helper()
	p, err := parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFlags_WithoutAnyEverythingIsPlayed(t *testing.T) {
	p := parsed(t)
	if len(p.scenarios) != len(scenarios) || len(p.libraries) != len(virtual()) || !slices.Equal(p.sizes, []int{50, 200, 1000}) || p.setting != defaults() {
		t.Errorf("%+v", p)
	}
}

func TestFlags_DescribeFleetAndServer(t *testing.T) {
	p := parsed(t, "-clients", "5,10", "-rate", "20", "-workers", "2", "-service", "50ms", "-patience", "2s",
		"-deadline", "5s", "-before", "3s", "-after", "4s", "-seed", "7", "-repeat", "2")
	want := setting{clients: defaults().clients, rate: 20, workers: 2, service: 50 * time.Millisecond, patience: 2 * time.Second,
		deadline: 5 * time.Second, before: 3 * time.Second, after: 4 * time.Second, seed: 7}
	if p.setting != want {
		t.Errorf("%+v", p.setting)
	}
	if games := p.games(p.scenarios[0]); len(games) != 2*2*len(virtual()) || games[0].setting.clients != 5 || games[len(games)-1].setting.clients != 10 {
		t.Errorf("%d games", len(games))
	}
}

func TestFlags_OfTroubleAloneMakeAScenario(t *testing.T) {
	p := parsed(t, "-refused", "0.1", "-capacity", "0.5", "-shedding", "9", "-delay", "1s", "-throttled", "0.2", "-retry-after", "0",
		"-restarting", "-lasting", "7s", "-hung", "0.3", "-bad-path")
	want := scenario{"yours", trouble{refused: 0.1, hung: 0.3, badPath: true, capacity: 0.5, shedding: 9, delay: time.Second, throttled: 0.2, restarting: true}, 7 * time.Second}
	if len(p.scenarios) != 1 || p.scenarios[0] != want {
		t.Errorf("%+v", p.scenarios)
	}
}

func TestFlags_OfTroubleChangeTheScenariosAskedFor(t *testing.T) {
	p := parsed(t, "-scenario", "brownout", "-scenario", "out", "-lasting", "7s", "-capacity", "0.2")
	want := []scenario{
		{"outage", trouble{refused: 1, capacity: 0.2}, 7 * time.Second},
		{"brownout", trouble{capacity: 0.2}, 7 * time.Second},
	}
	if len(p.scenarios) != 2 || p.scenarios[0] != want[0] || p.scenarios[1] != want[1] {
		t.Errorf("%+v", p.scenarios)
	}
	if scenarios[3].lasting != 10*time.Second {
		t.Error("the scenario itself was changed")
	}
}

func TestFlags_NameIsPreferredToAPartOfNames(t *testing.T) {
	for asked, want := range map[string]string{
		"rehttp": "rehttp", "failsafe": "failsafehttp; failsafehttp, budget", "hand": "by hand",
	} {
		var got []string
		for _, l := range parsed(t, "-library", asked).libraries {
			got = append(got, l.Name)
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %q", asked, got)
		}
	}
}

func TestFlags_OptionsArePutBesideTheDefaults(t *testing.T) {
	p := parsed(t, "-library", "steadyhttp", "-attempts", "2", "-backoff", "100ms,1s", "-budget", "0.1,3", "-breaker-rate", "0.4,20",
		"-breaker-run", "5,1s", "-breaker-timeouts", "3,2s", "-open", "2s", "-window", "10s", "-attempt-timeout", "500ms", "-max-retry-after", "0s")
	if len(p.options) != 10 || len(p.libraries) != 2 || p.libraries[0].Name != "yours" || p.libraries[1].Name != "steadyhttp" {
		t.Errorf("%d options, %+v", len(p.options), p.libraries)
	}
	if chosen := p.libraries[0].Chosen; !strings.HasSuffix(chosen, "-attempt-timeout 500ms -max-retry-after 0s") {
		t.Error(chosen)
	}
	if p := parsed(t, "-no-budget", "-no-breaker=false"); len(p.options) != 1 {
		t.Errorf("%v", p.given)
	}
	parsed(t, "-breaker-rate", "0,10", "-breaker-run", "0,0s", "-breaker-timeouts", "0,0s", "-no-breaker") // valid where there is none
}

func TestFlags_WhatYoursGoesWithout(t *testing.T) {
	for flag, breakers := range map[string]int{"-no-budget": 1, "-no-breaker": 0} {
		transport, err := steadyhttp.NewTransport(http.NewFileTransport(http.Dir(".")), parsed(t, flag).options...)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Get("file:///flags.go")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := len(transport.Breakers()); got != breakers {
			t.Errorf("%s: %d breakers", flag, got)
		}
	}
}

func TestPlot_DrawsOutageBrownoutAndPartialFailureOf200(t *testing.T) {
	p := parsed(t, "-plot", ".")
	if len(p.scenarios) != 3 || p.scenarios[0].name != "outage" || p.scenarios[1].name != "brownout" || p.scenarios[2].name != "partial" || !slices.Equal(p.sizes, []int{200}) {
		t.Errorf("%v of %v", p.scenarios, p.sizes)
	}
}

func TestPlot_GoodputIsAboveAndLoadBelow(t *testing.T) {
	r := result{answered: slices.Repeat([]int{1}, 100), attempts: slices.Repeat([]int{2}, 100), from: 10, to: 20}
	pic := newPicture(defaults(), scenario{lasting: time.Second})
	pic.add("steadyhttp", r)
	if c := pic.curves[0]; c.goodput[0].Y != 10 || c.load[0].Y != 20 {
		t.Errorf("%v above %v", c.goodput[0], c.load[0])
	}
}

// What is set must be seen in what is played.
func TestFlags_YoursDoesWhatItsOptionsSay(t *testing.T) {
	p := parsed(t, "-scenario", "flaky", "-library", "steadyhttp", "-attempts", "1", "-clients", "50", "-before", "1s", "-after", "1s", "-lasting", "2s")
	loads := make(map[string]float64)
	for g, r := range playAll(t, p.games(p.scenarios[0])) {
		loads[g.library.Name] = r.loadDuring()
	}
	if loads["yours"] != 1 || loads["steadyhttp"] <= 1 {
		t.Errorf("%v", loads)
	}
}

func TestFlags_NonsenseIsRefusedByName(t *testing.T) {
	for args, want := range map[string]string{
		"nonsense":                       `"nonsense"`,
		"-nonsense":                      "-nonsense",
		"-clients 0":                     "-clients",
		"-clients 50,":                   "-clients",
		"-clients 2000000":               "-clients",
		"-rate NaN":                      "-rate",
		"-rate 0.5":                      "-rate",
		"-rate 1500":                     "keep 15 workers busy",
		"-workers -1":                    "-workers",
		"-service 0s":                    "-service",
		"-service 10":                    "-service",
		"-service 100us -patience 100us": "-patience 100µs",
		"-before 1050ms":                 "-before",
		"-after 0s":                      "-after",
		"-after 25h":                     "-after",
		"-seed -1":                       "-seed",
		"-repeat 0":                      "-repeat",
		"-scenario nonsense":             `"nonsense": there are "blip"`,
		"-library nonsense":              `"nonsense": there are "steadyhttp"`,
		"-library hedgedhttp":            "only in real time",
		"-refused 1.1":                   "-refused",
		"-refused -0.1":                  "-refused",
		"-refused 0":                     "no trouble",
		"-refused 0.6 -throttled 0.6":    "-throttled",
		"-refused 0.6 -hung 0.6":         "-hung",
		"-hung 2":                        "-hung",
		"-deadline 0s":                   "-deadline",
		"-capacity 0":                    "-capacity",
		"-shedding 0":                    "-shedding",
		"-delay -1s":                     "-delay",
		"-retry-after -1":                "-retry-after",
		"-retry-after 1":                 "-throttled is 0",
		"-restarting=perhaps":            "-restarting",
		"-lasting 1s":                    "no trouble",
		"-scenario outage -lasting 10ms": "-lasting",
		"-scenario outage -refused 0":    "no trouble",
		"-attempts 0":                    "WithMaxAttempts: 0",
		"-attempts two":                  "-attempts",
		"-backoff 1s":                    "-backoff",
		"-backoff 1s,1ms":                "WithBackoff: 1ms",
		"-backoff 1,2":                   "-backoff",
		"-budget 0.2,x":                  "-budget",
		"-budget 2,5":                    "WithRetryBudget: 2",
		"-breaker-rate NaN,10":           "WithBreakerFailureRate: NaN",
		"-breaker-timeouts 0,0s -breaker-run 0,0s": "WithoutBreaker",
		"-breaker-timeouts -1,0s":                  "WithBreakerConsecutiveTimeouts: -1",
		"-breaker-run 3":                           "-breaker-run",
		"-open 0s":                                 "WithBreakerOpenFor: 0s",
		"-window 1ms":                              "WithBreakerWindow: 1ms",
		"-attempt-timeout -1s":                     "WithAttemptTimeout: -1s",
		"-no-breaker=perhaps":                      "-no-breaker",
		"-plot /nowhere":                           "/nowhere",
		"-plot plan_test.go":                       "no folder",
		"-plot . -clients 1,2":                     "-clients",
		"-plot . -repeat 2":                        "-repeat",
	} {
		_, err := parse(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestFlags_UsageNamesEachWithItsDefault(t *testing.T) {
	var out bytes.Buffer
	usage(&out)
	for _, want := range []string{"-rate calls", "(default 1000)", "-backoff initial,longest", "-restarting", "-plot folder"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
}

func quick(t *testing.T, args ...string) *plan {
	t.Helper()
	return parsed(t, append(args, "-refused", "0.1", "-lasting", "1s", "-before", "1s", "-after", "1s", "-clients", "20", "-library", "steadyhttp", "-attempts", "2")...)
}

func TestTable_IsText(t *testing.T) {
	var out bytes.Buffer
	if err := quick(t).run(t, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "scenario   clients  library     ") ||
		!strings.HasPrefix(lines[1], "yours      20       yours       ") || !strings.HasPrefix(lines[2], "yours      20       steadyhttp  ") {
		t.Error(out.String())
	}
}

func TestTable_IsMarkdown(t *testing.T) {
	var out bytes.Buffer
	if err := quick(t, "-markdown").run(t, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 5 || lines[1] != "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |" || !strings.HasPrefix(lines[3], "| yours | 20 | steadyhttp | 100.00 % | ") {
		t.Error(out.String())
	}
}

func TestTable_TellsOfTheStoreWhereThereIsOne(t *testing.T) {
	var out bytes.Buffer
	if err := quick(t, "-sharing", "2ms", "-markdown").run(t, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| p99 | store/s |\n") {
		t.Error(out.String())
	}
}

func TestList_TellsWhatWasChosen(t *testing.T) {
	var out bytes.Buffer
	if err := quick(t, "-list", "-markdown").run(t, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| yours | steadyhttp with -attempts 2 |\n| steadyhttp | the defaults |") {
		t.Error(out.String())
	}
}

func TestPlot_IsAPNGNamedAfterItsScenario(t *testing.T) {
	folder := t.TempDir()
	var out bytes.Buffer
	if err := quick(t, "-plot", folder).run(t, &out); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "yours.png")
	if out.String() != file+"\n" {
		t.Error(out.String())
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != 1800 || size.Y != 1400 {
		t.Error(size)
	}
}

func TestPlot_PartialFailureIsDrawnOverItsShares(t *testing.T) {
	folder := t.TempDir()
	var out bytes.Buffer
	if err := parsed(t, "-scenario", "partial", "-plot", folder, "-lasting", "500ms", "-before", "500ms", "-clients", "10", "-rate", "100", "-library", "no retries").run(t, &out); err != nil {
		t.Fatal(err)
	}
	if file := filepath.Join(folder, "partial.png"); out.String() != file+"\n" {
		t.Error(out.String())
	}
	one := newResult(10)
	one.calls[0], one.succeeded[0], one.attempts[0], one.to = 4, 3, 8, 1
	drawn := newShareCurve("no retries", []result{one, one})
	if drawn.goodput[1] != (plotter.XY{X: 10, Y: 75}) || drawn.load[1] != (plotter.XY{X: 10, Y: 2}) {
		t.Errorf("%+v", drawn)
	}
}

func TestPlot_CurveIsWhatHappensInTheSecondAroundEachPoint(t *testing.T) {
	counts := make([]int, 50)
	counts[20] = 7
	for _, point := range perSecond(counts, 10, plot.Axis{Min: 0, Max: 2}) {
		within := point.X > 0.55 && point.X < 1.55 // the bucket is from 1.0 s to 1.1 s
		if want := map[bool]float64{true: 7}[within]; point.X < 0 || point.X > 2 || point.Y != want {
			t.Errorf("%v", point)
		}
	}
}

func TestPlot_TicksAreRoundAndFew(t *testing.T) {
	for most, want := range map[float64]string{1575: "0 500 1000 1500", 40: "0 5 10 15 20 25 30 35 40", 5: "0 1 2 3 4 5"} {
		var labels []string
		for _, tick := range (ticks{}).Ticks(0, most) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("up to %v: %s", most, got)
		}
	}
}

func TestPlot_EveryLibraryHasALookOfItsOwn(t *testing.T) {
	seen := make(map[string]string)
	for _, l := range append(virtual(), withSharing()) {
		style, ok := styles[l.Name]
		if !ok {
			t.Errorf("%s has none", l.Name)
		}
		look := fmt.Sprint(style.Color, style.Dashes)
		if other, ok := seen[look]; ok {
			t.Errorf("%s looks like %s", l.Name, other)
		}
		seen[look] = l.Name
	}
}

func TestTable_TroubleIsToldInWords(t *testing.T) {
	for want, c := range map[string]scenario{
		"outage: every attempt answered 503 for 20s":                                 scenarios[2],
		"overload: capacity at 50 %, 503 beyond a queue of 100 for 20s":              scenarios[4],
		"x: 10 % of the attempts answered 503, answers 3s late for 1m0s":             {"x", trouble{refused: 0.1, delay: 3 * time.Second}, time.Minute},
		"429 storm: every attempt answered 429 with Retry-After: 2 for 10s":          scenarios[6],
		"partial, silent: 60 % of the attempts never answered for 20s":               scenarios[9],
		"one replica of three hangs: 33.33 % of the attempts never answered for 20s": scenarios[10],
		"one bad path: one path of four answered 503 for 20s":                        scenarios[11],
		"restart: connections of a tenth of the clients in turn refused for 20s":     scenarios[7],
	} {
		if c.String() != want {
			t.Errorf("%s, not %s", c, want)
		}
	}
}
