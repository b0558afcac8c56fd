package sharing

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documentedACL are the rules that docs/fleet-sharing.md gives a user, after the password.
func documentedACL(t *testing.T) (rules []any) {
	t.Helper()
	document, err := os.ReadFile("../../docs/fleet-sharing.md")
	require.NoError(t, err)
	found := regexp.MustCompile("user steady on >… ([^`]*)`").FindStringSubmatch(string(document))
	require.NotNil(t, found)
	for rule := range strings.FieldsSeq(found[1]) {
		rules = append(rules, rule)
	}
	return rules
}
