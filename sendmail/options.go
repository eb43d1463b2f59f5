package sendmail

import (
	"strings"

	"posthaste/mail"
)

// A mode is what sendmail is to do (-b).
type mode int

const (
	modeSend mode = iota
	modeSMTP
	modeList
	modeAliases
	modeFlush
)

// options is the command line.
type options struct {
	mode       mode
	fromHeader bool    // -t
	ignoreDots bool    // -i
	verbose    bool    // -v
	from       *string // -f, -r
	name       string  // -F
	notify     mail.Notify
	ret        mail.Ret
	envID      string
	body       mail.BodyType
	recipients []string
}

// Letters of options, by what follows them: nothing, a value in the same or the next argument, or a
// value in the same argument only.
const (
	plainOptions    = "EGIUimnstvx"
	valueOptions    = "ABCDFLNORVXbefhopr"
	attachedOptions = "cdq"
)

// parse reads the arguments as getopt(3) does: letters may stand together, "--" ends them.
func parse(args []string) (*options, error) {
	o := new(options)
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			args = args[1:]
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		args = args[1:]
		for letters := arg[1:]; letters != ""; {
			letter := letters[0]
			letters = letters[1:]
			value := ""
			switch {
			case strings.IndexByte(plainOptions, letter) >= 0:
			case strings.IndexByte(attachedOptions, letter) >= 0:
				value, letters = letters, ""
			case strings.IndexByte(valueOptions, letter) < 0:
				return nil, failure(Usage, "there is no option -%c", letter)
			case letters != "":
				value, letters = letters, ""
			case len(args) > 0:
				value, args = args[0], args[1:]
			default:
				return nil, failure(Usage, "the option -%c needs a value", letter)
			}
			if err := o.set(letter, value); err != nil {
				return nil, err
			}
		}
	}
	o.recipients = args
	return o, nil
}

// set takes one option. Those that are not named here mean nothing to us.
func (o *options) set(letter byte, value string) error {
	switch letter {
	case 't':
		o.fromHeader = true
	case 'i':
		o.ignoreDots = true
	case 'v':
		o.verbose = true
	case 'I':
		o.mode = modeAliases
	case 'f', 'r':
		o.from = &value
	case 'F':
		o.name = strings.Map(printable, value)
	case 'V':
		o.envID = value
	case 'q':
		o.mode = modeFlush
	case 'b':
		return o.setMode(value)
	case 'o':
		o.ignoreDots = o.ignoreDots || value == "i" || value == "IgnoreDots"
	case 'O':
		key, v, _ := strings.Cut(value, "=")
		o.ignoreDots = o.ignoreDots || strings.EqualFold(key, "IgnoreDots") && !strings.EqualFold(v, "false")
	case 'B':
		return o.setBody(value)
	case 'N':
		return o.setNotify(value)
	case 'R':
		return o.setRet(value)
	}
	return nil
}

// printable keeps line breaks and controls out of a name.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

func (o *options) setMode(value string) error {
	switch value {
	case "m":
		o.mode = modeSend
	case "p":
		o.mode = modeList
	case "s":
		o.mode = modeSMTP
	case "i":
		o.mode = modeAliases
	case "d", "D":
		return failure(Unavailable, "-b%s is not for this program: posthaste serve runs the node", value)
	default:
		return failure(Usage, "the mode -b%s is not known here: posthaste explain rcpt shows where mail for an address goes", value)
	}
	return nil
}

func (o *options) setBody(value string) error {
	switch o.body = mail.BodyType(strings.ToUpper(value)); o.body {
	case mail.Body7Bit, mail.Body8Bit:
		return nil
	}
	return failure(Usage, "-B %s: 7BIT or 8BITMIME", value)
}

func (o *options) setNotify(value string) error {
	conditions := map[string]mail.Notify{
		"never": mail.NotifyNever, "success": mail.NotifySuccess, "failure": mail.NotifyFailure, "delay": mail.NotifyDelay,
	}
	o.notify = 0
	for word := range strings.SplitSeq(value, ",") {
		c, known := conditions[strings.ToLower(strings.TrimSpace(word))]
		if !known {
			return failure(Usage, "-N %s: never, or some of success,failure,delay", value)
		}
		o.notify |= c
	}
	if o.notify&mail.NotifyNever != 0 {
		o.notify = mail.NotifyNever
	}
	return nil
}

func (o *options) setRet(value string) error {
	switch strings.ToLower(value) {
	case "full":
		o.ret = mail.RetFull
	case "hdrs":
		o.ret = mail.RetHdrs
	default:
		return failure(Usage, "-R %s: full or hdrs", value)
	}
	return nil
}
