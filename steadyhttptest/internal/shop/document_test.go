package shop

import (
	"os"
	"strings"
	"testing"
)

// The Go blocks of docs/testing.md, pasted one after the other, are the files of this folder. So they compile, and they
// are tested.
func TestDocument_BlocksAreTheseFiles(t *testing.T) {
	t.Parallel()
	document := readFile(t, "../../../docs/testing.md")
	files := map[string]string{"shop.go": "", "shop_test.go": "", "staging.go": ""}
	for name := range files {
		files[name] = readFile(t, name)
	}
	for _, block := range strings.Split(document, "```go\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		if !removeFrom(files, code) {
			t.Errorf("in no file:\n%s", code)
		}
	}
	for name, left := range files {
		if left = strings.TrimSpace(left); left != "" {
			t.Errorf("%s has what docs/testing.md has not:\n%s", name, left)
		}
	}
}

// removeFrom removes the code from the file that has it.
func removeFrom(files map[string]string, code string) bool {
	for name, text := range files {
		if before, after, found := strings.Cut(text, code); found {
			files[name] = before + after
			return true
		}
	}
	return false
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
