// Package helper runs programs and writes mailbox files for a mail server that has no right to do
// either.
//
// [Start] makes a second process out of the own binary, before the server gives up root and confines
// itself. From then on the server can only ask it, over a socket, to do a [Job]: run a listed program,
// or add a message to a listed mbox or Maildir, as a listed user. The helper has its lists from the
// moment it started and checks every job itself, so that a server that has been taken over cannot widen
// them. It becomes root for nobody who does not list root.
//
// It also reads one kind of file: [Helper.Forward] returns the ~/.forward of a listed user, as that user,
// since homes are closed to the server.
//
// The helper stays small: it takes a job, checks it, starts a child that has become the job's user
// already, watches the clock and answers. Whatever touches a file or parses anything of the user's
// happens in that child. Content travels as a sealed file in memory, never through the helper's own
// hands.
//
// A helper that has died cannot be started again once the server has given up root. Its jobs are
// temporary failures then, and the log says that the server must be restarted.
//
// What may happen twice: a program or an mbox may get a message again when the server or the machine
// dies before it has written down that it was delivered. A Maildir may not: the name of the file is
// made from [Job].ID, and a repeat finds it.
package helper

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Bounds of what goes between server and helper, and of a job.
const (
	maxRequest  = 256 << 10 // bytes of one job without its content, and of the lists
	maxAnswer   = 128 << 10 // bytes of one answer
	maxArgs     = 1000      // words of a command
	maxOutput   = 64 << 10  // bytes of output that a job may ask for
	maxForward  = 64 << 10  // bytes of a .forward file
	forwardJobs = 8         // .forward files read at the same time, beside the jobs
	startWithin = 20 * time.Second
	maxTimeout  = 24 * time.Hour
)

// Config is what a helper may do. It is fixed when the helper starts.
type Config struct {
	// Programs lists what may run. "/usr/bin/procmail" allows that program with any arguments; in
	// the path, * and ? stand for what they stand for in a shell, within one folder. An entry with
	// white space or other letters special to a shell allows exactly that command, through /bin/sh
	// where it needs one. "/bin/sh" allows every command there is.
	Programs []string

	// Files lists the mbox files and Maildir folders that may be written: paths with * and ? as in
	// Programs, where "/**" at the end stands for everything below and "~/" at the start for the
	// home of the job's user. /dev/null needs no listing.
	Files []string

	// Users lists who may be become, by name. "*" stands for all whose uid is MinUID or more. root
	// is become only where it is named.
	Users  []string
	MinUID int // default 1000

	// Forwards allows to read the ~/.forward of each of Users, and no other file.
	Forwards bool

	// User does the jobs that name none, where root runs the helper. Else, the user who runs it does
	// them.
	User string

	// SpoolDirs are folders of mailboxes that belong to a group (Debian: /var/mail, root:mail). A
	// job that writes there gets that group, and the mailbox must be its own. Default: /var/mail
	// and /var/spool/mail.
	SpoolDirs []string

	Limits Limits
	Log    *slog.Logger // default: none
}

// Limits bound each job. Zero means the default.
type Limits struct {
	Jobs      int           // at the same time; default 20
	Timeout   time.Duration // default 5 minutes; a job may ask for less
	Output    int           // bytes kept of what a program prints; default 4096
	CPU       time.Duration // processor time of one program; default: Timeout
	FileSize  int64         // bytes of a file that a program or delivery may grow; default: none
	OpenFiles int           // default 256
	Processes int           // of the job's user in all; default: none
}

// A Format is how a file holds messages.
type Format string

// The formats.
const (
	Mbox    Format = "mbox"    // one file, mboxrd quoting
	Maildir Format = "maildir" // a folder with cur, new and tmp
)

// A Job is one program to run or one file to write. Either Program or File is set.
type Job struct {
	User string // to become; "" is Config.User

	// Program is the command in words, [Split] makes them from text. A name without a slash is
	// looked for in /usr/local/bin, /usr/bin and /bin.
	Program []string
	Env     []string // "NAME=value", as [Environment] makes them; other names are refused

	File     string    // an absolute path; /dev/null discards
	Format   Format    // default: Maildir where File ends in a slash, else Mbox
	Sender   string    // for the line that begins a message in an mbox; "" is the null reverse-path
	ID       string    // of this delivery: a repeat has the same, another none does
	Fresh    bool      // no earlier attempt can have had this ID, so there is no need to look for it
	Received time.Time // for the file's name and the mbox

	Content io.Reader // lines ending in CRLF; the job gets them ending in LF
	CRLF    bool      // leave the line ends of Content alone; not for files

	Timeout   time.Duration // default and upper bound: Limits.Timeout
	MaxOutput int           // default: Limits.Output
}

// A Result is how a program ended.
type Result struct {
	Exit      int    `json:"exit"`             // exit status; -1 where it did not exit
	Signal    string `json:"signal,omitempty"` // that ended it
	TimedOut  bool   `json:"timedout,omitempty"`
	Output    []byte `json:"output,omitempty"` // the first that it printed on standard output and error
	Truncated bool   `json:"truncated,omitempty"`
}

// A Runner does jobs, as *Helper does. Those who deliver take one, so that they can do without.
type Runner interface {
	Run(ctx context.Context, job Job) (Result, error)
}
