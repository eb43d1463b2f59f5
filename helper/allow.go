package helper

import (
	"path"
	"slices"
	"strings"
)

// isCommandLine tells whether an entry of the list of programs stands for one exact command.
func isCommandLine(entry string) bool {
	words := Split(strings.NewReplacer("*", "", "?", "", "[", "", "]", "").Replace(entry))
	return len(words) != 1
}

// allowsProgram tells whether a command in words may run. Its first word is a clean absolute path.
func (l *lists) allowsProgram(words []string) bool {
	shellText := len(words) == 3 && words[0] == shell && words[1] == "-c"
	return slices.ContainsFunc(l.Programs, func(entry string) bool {
		if !isCommandLine(entry) {
			ok, _ := path.Match(entry, words[0])
			return ok
		}
		listed := Split(entry)
		if shellText {
			return len(listed) == 3 && listed[0] == shell && listed[2] == words[2]
		}
		return slices.Equal(listed, words)
	})
}

// allowsFile tells whether a clean absolute path may be written by a user with a home.
func allowsFile(patterns []string, file, home string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if below, ok := strings.CutPrefix(p, "~/"); ok {
			if home == "" || home == "/" {
				return false
			}
			p = literal(home) + "/" + below
		}
		return matchFile(path.Clean(p), file)
	})
}

// matchFile matches file with a pattern that may end in "/**".
func matchFile(pattern, file string) bool {
	above, tree := strings.CutSuffix(pattern, "/**")
	if !tree {
		ok, _ := path.Match(pattern, file)
		return ok
	}
	depth := strings.Count(above, "/")
	parts := strings.Split(file, "/")
	if len(parts) <= depth+1 {
		return false
	}
	ok, _ := path.Match(above, strings.Join(parts[:depth+1], "/"))
	return ok
}

// literal returns a pattern that matches s alone.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(strings.TrimSuffix(s, "/"))
}
