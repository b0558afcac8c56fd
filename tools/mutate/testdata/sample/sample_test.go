package sample

import "testing"

func TestCheck(t *testing.T) {
	for n, want := range map[int]int{-2: -1, -1: -1, 0: 0, 5: 5, 10: 10, 11: -1, 20: -1} {
		if got := Check(n); got != want {
			t.Errorf("Check(%d) is %d, not %d", n, got, want)
		}
	}
}

func TestSum(t *testing.T) {
	if got := Sum([]int{1, 2, 3}); got != 12 {
		t.Error(got)
	}
	if got := Sum([]int{200}); got != 100 {
		t.Error(got)
	}
}
