package steadyfleet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWord_IsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, w := range []Word{{Origin: "o"}, {"ab12", 1_800_000_000_000, Down, 512, 1000, 2500, true, 250}} {
		got, err := ParseWord(w.String())
		require.NoError(t, err)
		assert.Equal(t, w, got)
		got, err = ParseWord(w.String() + " 7 later")
		require.NoError(t, err, "a later version may add fields")
		assert.Equal(t, w, got)
	}
}

func TestWord_JunkIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "o", "o 1 2 3", "o x 2 3 4 5 0 0", "o 1 4 3 4 5 0 0", "o -1 2 3 4 5 0 0", "o 1 2 3 4 5 0 -9", "o 1 -2 3 4 5 0 0", "o 99999999999999999999 2 3 4 5 0 0"} {
		_, err := ParseWord(text)
		assert.ErrorContains(t, err, "is no word of a store", text)
	}
}

func FuzzParseWord(f *testing.F) {
	f.Add("o 1 2 3 4 5 0 0")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWord(text)
		if err != nil {
			return
		}
		again, err := ParseWord(w.String())
		if err != nil || again != w {
			t.Errorf("%+v is read as %+v: %v", w, again, err)
		}
	})
}

func TestPhase_IsText(t *testing.T) {
	t.Parallel()
	text, err := Down.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, "down", string(text))
	assert.Equal(t, "Phase(9)", Phase(9).String())
}
