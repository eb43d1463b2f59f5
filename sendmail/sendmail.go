// Package sendmail is the command line that cron, PHP, git, mail programs and scripts expect of a mail
// system under the names sendmail, mailq and newaliases.
//
// A message goes into the drop directory (package drop), which works without the network and while
// the node is down; [Run] returns success only once it is durable there. Who may use which sender is
// not decided here, since this runs with the rights of the user: the node decides by who owns the file.
//
// Options that other systems need and this one does not are taken and ignored; what cannot be done
// here is refused with a status of sysexits(3), never silently.
package sendmail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"posthaste/drop"
	"posthaste/mail"
)

// The statuses of sysexits(3) that callers know.
const (
	OK          = 0
	Usage       = 64 // the command line is wrong
	DataErr     = 65 // the message or an address is wrong
	Unavailable = 69 // this cannot be done here
	OSErr       = 71
	IOErr       = 74
	TempFail    = 75 // try again later
	NoPerm      = 77
	ConfigErr   = 78
)

// DefaultMaxSize is the largest message when no configuration that we may read says otherwise.
const DefaultMaxSize = 50 << 20

// An Env is what a run works with. The functions return an exit status.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Dir      string // the drop directory; "" is the default
	Hostname string // our name with -bs
	MaxSize  int64  // bytes of a message; 0 is the default

	List    func(ctx context.Context) int // mailq, -bp
	Flush   func(ctx context.Context) int // -q
	Aliases func(ctx context.Context) int // newaliases, -bi
}

// Run does what sendmail does with args, without the program's name, and returns the exit status.
func Run(ctx context.Context, e Env, args []string) int {
	if e.Dir == "" {
		e.Dir = drop.DefaultDir
	}
	if e.MaxSize <= 0 {
		e.MaxSize = DefaultMaxSize
	}
	o, err := parse(args)
	if err != nil {
		return e.fail(err)
	}
	switch o.mode {
	case modeList:
		return e.List(ctx)
	case modeFlush:
		return e.Flush(ctx)
	case modeAliases:
		return e.Aliases(ctx)
	case modeSMTP:
		return e.fail(e.converse(o))
	}
	return e.fail(e.send(o))
}

// A statusError is an error with its exit status.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func failure(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// fail prints err, if there is one, and returns its exit status.
func (e *Env) fail(err error) int {
	if err == nil {
		return OK
	}
	fmt.Fprintf(e.Err, "sendmail: %v\n", err)
	var s *statusError
	var f *drop.FormatError
	switch {
	case errors.As(err, &s):
		return s.status
	case errors.As(err, &f):
		return DataErr
	case errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(e.Err, "sendmail: %s is missing: set drop.enabled and start the node once as root\n", e.Dir)
		return ConfigErr
	case errors.Is(err, os.ErrPermission):
		return NoPerm
	}
	return TempFail
}

// send submits the message on standard input.
func (e *Env) send(o *options) error {
	if len(o.recipients) == 0 && !o.fromHeader {
		return failure(Usage, "name recipients as arguments, or use -t to take them from the header")
	}
	s, err := o.submission()
	if err != nil {
		return err
	}
	content, err := e.read(o.ignoreDots)
	if err != nil {
		return err
	}
	if o.fromHeader {
		if err := addFromHeader(&s, content, o.notify); err != nil {
			return err
		}
	}
	if len(s.Recipients) == 0 {
		return failure(Usage, "no recipients in To, Cc or Bcc")
	}
	return e.write(s, content, o.verbose)
}

// write puts a message into the drop directory.
func (e *Env) write(s drop.Submission, content []byte, verbose bool) error {
	for _, r := range s.Recipients {
		s.SMTPUTF8 = s.SMTPUTF8 || !r.Address.ASCII()
	}
	if err := drop.Write(e.Dir, s, bytes.NewReader(content)); err != nil {
		return err
	}
	if verbose {
		fmt.Fprintf(e.Out, "%d bytes for %d recipients are in %s; the node takes them from there\n", len(content), len(s.Recipients), e.Dir)
	}
	return nil
}

// read returns standard input up to its end, or to a line of a single dot.
func (e *Env) read(ignoreDots bool) ([]byte, error) {
	var content []byte
	in := bufio.NewReaderSize(e.In, 64<<10)
	for whole := true; ; {
		piece, err := in.ReadSlice('\n')
		if whole && !ignoreDots && string(bytes.TrimRight(piece, "\r\n")) == "." {
			return content, nil
		}
		content = append(content, piece...)
		if int64(len(content)) > e.MaxSize {
			return nil, failure(Unavailable, "the message has more than the %d bytes allowed", e.MaxSize)
		}
		whole = err == nil
		switch {
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, failure(IOErr, "read the message: %v", err)
		}
	}
}

// submission returns what the command line says.
func (o *options) submission() (drop.Submission, error) {
	s := drop.Submission{Name: o.name, Body: o.body, Ret: o.ret, EnvID: o.envID}
	if o.from != nil {
		from, err := parseSender(*o.from)
		if err != nil {
			return s, err
		}
		s.From = &from
	}
	for _, text := range o.recipients {
		if err := addRecipients(&s, text, o.notify); err != nil {
			return s, err
		}
	}
	return s, nil
}

// parseSender reads the argument of -f, which may be "<>" or in angle brackets.
func parseSender(text string) (mail.ReversePath, error) {
	var from mail.ReversePath
	if text == "" || text == "<>" {
		return from, nil
	}
	a, err := oneAddress(text)
	from.Address = a
	return from, err
}
