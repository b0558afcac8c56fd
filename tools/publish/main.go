// Command publish writes the repository's importable modules into a folder, as a module proxy would serve
// them once the next version is tagged:
//
//	publish -root .. -to "$folder"
//	GOPROXY="file://$folder" go get …
//
// The version is that of the newest heading of CHANGELOG.md. It prints a line for each module: its path, the
// version, the tag that publishes it, and its folder in the repository. It fails if a module requires another
// version of the root module, which users would not get.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/steadyhttp/steadyhttp/tools/internal/modules"
)

func main() {
	root := flag.String("root", ".", "the repository's `folder`")
	to := flag.String("to", "", "the `folder` to write to, made if it is missing; without one nothing is written")
	flag.Parse()
	if err := run(*root, *to, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

func run(root, to string, out io.Writer) error {
	version, err := newestVersion(root)
	found, findErr := modules.Importable(root)
	if err := cmp.Or(err, findErr); err != nil {
		return err
	}
	if err := checkRequirements(found, version); err != nil {
		return err
	}
	for _, m := range found {
		if to != "" {
			if err := publish(m, version, to); err != nil {
				return fmt.Errorf("%s: %w", m.Path(), err)
			}
		}
		_, _ = fmt.Fprintln(out, m.Path(), version, m.Tag(version), m.Dir)
	}
	return nil
}
