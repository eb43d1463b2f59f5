package helper

import (
	"slices"
	"strings"
	"unicode/utf8"

	"posthaste/mail"
)

const (
	shell      = "/bin/sh"
	searchPath = "/usr/local/bin:/usr/bin:/bin"

	// shellLetters mean something to a shell, so that a command with one of them needs one.
	shellLetters = "'\"\\|&;<>(){}[]$*?!`~#=%\n\r"
)

// shellBuiltins are first words that only a shell can do.
var shellBuiltins = []string{"cd", "exec", "exit", "eval", "export", "if", "case", "for", "while", "until", "set", "trap", "umask", ":", ".", "!"}

// Split returns a command as words: those of the text, where a shell would do no more than split it,
// else /bin/sh -c and the text. Text without a word is no command and gives nil.
func Split(command string) []string {
	command = strings.TrimSpace(command)
	words := strings.Fields(command)
	if len(words) == 0 {
		return nil
	}
	if strings.ContainsAny(command, shellLetters) || slices.Contains(shellBuiltins, words[0]) {
		return []string{shell, "-c", command}
	}
	return words
}

// The variables that a job may bring along. The rest of a program's environment is made from its user.
var jobVariables = []string{"SENDER", "RECIPIENT", "ORIGINAL_RECIPIENT", "LOCAL", "DOMAIN", "EXTENSION", "USERPART",
	"QUEUE_ID", "SIZE", "CLIENT_ADDRESS", "CLIENT_HOSTNAME", "CLIENT_HELO", "CLIENT_PROTOCOL", "SASL_USERNAME"}

// Environment returns what programs are told of a delivery: SENDER (empty for the null reverse-path),
// RECIPIENT, LOCAL (the local-part), USERPART (LOCAL without the extension), DOMAIN, and EXTENSION, which
// is what follows separator in the local-part; separator 0 means that there are none. Letters that mean
// something to a shell become "_", as programs hand these values on to one all too often.
func Environment(from mail.ReversePath, to mail.Address, separator byte) []string {
	user, extension := to.Local, ""
	if i := strings.IndexByte(to.Local, separator); separator != 0 && i > 0 {
		user, extension = to.Local[:i], to.Local[i+1:]
	}
	env := []string{
		"SENDER=" + Safe(from.String()),
		"RECIPIENT=" + Safe(to.String()),
		"LOCAL=" + Safe(to.Local),
		"USERPART=" + Safe(user),
		"DOMAIN=" + Safe(to.Domain),
	}
	if extension != "" {
		env = append(env, "EXTENSION="+Safe(extension))
	}
	return env
}

// safeLetters are those beside letters and digits that mean nothing to a shell.
const safeLetters = "!@%-_=+:,./"

// Safe returns s with every letter that could mean something to a shell, and all that is not UTF-8, as
// "_".
func Safe(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune(safeLetters, c):
			return c
		case c >= 0xA1 && c != utf8.RuneError:
			return c
		}
		return '_'
	}, s)
}
