package helper

import (
	"strings"
	"unicode/utf8"

	"posthaste/mail"
)

// The exit statuses of sysexits.h that programs for mail use.
const (
	exUsage = 64 + iota
	exDataErr
	exNoInput
	exNoUser
	exNoHost
	exUnavailable
	exSoftware
	exOSErr
	exOSFile
	exCantCreat
	exIOErr
	exTempFail
	exProtocol
	exNoPerm
	exConfig

	exNotExecutable = 126 // said by shells
	exNotFound      = 127
)

type meaning struct {
	code     int
	enhanced string
	text     string
}

// meanings go by exit status. They are those of Postfix, but that a disk that fails, a configuration
// that is wrong and a program that is not there are temporary: time, or an administrator, heals them.
var meanings = map[int]meaning{
	exUsage:         {550, "5.3.0", "it was called in a wrong way"},
	exDataErr:       {550, "5.6.0", "the message has a form that it cannot take"},
	exNoInput:       {550, "5.3.0", "it could not open its input"},
	exNoUser:        {550, "5.1.1", "there is no such user"},
	exNoHost:        {550, "5.1.2", "there is no such host"},
	exUnavailable:   {550, "5.3.0", "the service is not available"},
	exSoftware:      {550, "5.3.0", "an error in the program"},
	exOSErr:         {451, "4.3.0", "a problem of the operating system"},
	exOSFile:        {550, "5.3.0", "a system file is missing"},
	exCantCreat:     {550, "5.2.0", "the output file cannot be made"},
	exIOErr:         {451, "4.3.0", "an error in reading or writing"},
	exTempFail:      {451, "4.3.0", "a temporary failure"},
	exProtocol:      {550, "5.5.0", "an error in the protocol"},
	exNoPerm:        {550, "5.7.0", "permission denied"},
	exConfig:        {451, "4.3.5", "an error in its configuration"},
	exNotExecutable: {451, "4.3.5", "the program cannot be executed"},
	exNotFound:      {451, "4.3.5", "the program is not there"},
}

// Bounds of the output that goes into a status.
const (
	statusLines = 3
	statusRunes = 300
)

// Status returns what the queue is told of a program that ended so. Exit status 0 is delivered; a
// signal and the end of its time are temporary; those of sysexits.h are as above; all else is
// permanent. The first lines of output are part of the text.
func (r Result) Status() *mail.Status {
	m, known := meanings[r.Exit]
	switch {
	case r.TimedOut:
		m = meaning{451, "4.3.0", "the program took too long and was ended"}
	case r.Signal != "":
		m = meaning{451, "4.3.0", "the program was ended by signal " + r.Signal}
	case r.Exit == 0:
		return mail.NewStatus(250, "2.0.0", "delivered to the program")
	case known:
		m.text = "the program says: " + m.text
	case r.Exit < 0:
		m = meaning{451, "4.3.0", "the program did not end as programs do"}
	default:
		status := mail.NewStatus(550, "5.3.0", "the program failed with exit status %d", r.Exit)
		m = meaning{status.Code, status.Enhanced, status.Text}
	}
	if said := firstLines(r.Output); said != "" {
		m.text += ": " + said
	}
	return &mail.Status{Code: m.code, Enhanced: m.enhanced, Text: m.text}
}

// firstLines returns the beginning of output as one line for people.
func firstLines(output []byte) string {
	var kept []string
	for line := range strings.Lines(strings.ToValidUTF8(string(output), "?")) {
		line = strings.Join(strings.FieldsFunc(line, func(c rune) bool { return c <= ' ' || c == 0x7f || c >= 0x80 && c <= 0xa0 }), " ")
		if line != "" {
			kept = append(kept, line)
		}
		if len(kept) == statusLines {
			break
		}
	}
	text := strings.Join(kept, "; ")
	if utf8.RuneCountInString(text) > statusRunes {
		text = string([]rune(text)[:statusRunes-1]) + "…"
	}
	return text
}
