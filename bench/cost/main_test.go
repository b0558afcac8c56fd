package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCost_IsWhatALibraryAddsInTheSameRound(t *testing.T) {
	var out bytes.Buffer
	printCosts(&out, []cost{
		{bare, []float64{10, 30, 20, 20}, "0"},
		{"a library", []float64{110, 140, 120, 130}, "3"},
	})
	want := "| adds to http.Client's | least | median | most | allocations in all |\n| --- | --- | --- | --- | --- |\n" +
		"| no retries | 10 ns | 20 ns | 30 ns | 0 |\n| a library | 100 ns | 105 ns | 110 ns | 3 |\n"
	if out.String() != want {
		t.Error(out.String())
	}
}

func TestCost_IsAllOfTheTimeWhereHTTPClientTakesNoPart(t *testing.T) {
	var out bytes.Buffer
	printCosts(&out, []cost{{"a library", []float64{110, 140}, "3"}})
	if want := "| a library | 110 ns | 125 ns | 140 ns | 3 |\n"; !strings.HasSuffix(out.String(), want) {
		t.Error(out.String())
	}
}

func TestCost_OfALibraryThatTakesNoPartIsNone(t *testing.T) {
	if _, ok := allocationsIn([]byte("PASS\n")); ok {
		t.Error("measured")
	}
	if got, ok := allocationsIn([]byte("BenchmarkX 100 17 ns/op 0 B/op 12 allocs/op\nPASS\n")); !ok || got != "12" {
		t.Error(got)
	}
}
