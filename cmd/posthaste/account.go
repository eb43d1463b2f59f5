package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"posthaste/admin"
	"posthaste/config"
)

type accountCommand struct {
	Add     accountAdd     `cmd:"" help:"Make an account with its mailboxes."`
	Passwd  accountPasswd  `cmd:"" help:"Set the password of an account."`
	Quota   accountQuota   `cmd:"" help:"Set how many bytes of mail an account may keep."`
	List    accountList    `cmd:"" help:"List the accounts."`
	Forward accountForward `cmd:"" help:"Send the mail of an account to other addresses, or show where it goes."`
	Delete  accountDelete  `cmd:"" help:"Delete an account and all its mail."`
}

// maxPasswordLine bounds what is read as a password, in bytes.
const maxPasswordLine = 4096

type passwordFlag struct {
	PasswordStdin bool `help:"Read the password from standard input; one newline at its end is dropped. Otherwise the terminal is asked."`
}

// read returns the password from standard input or, asked twice, from the terminal.
func (f passwordFlag) read(e *env) (string, error) {
	if f.PasswordStdin {
		text, err := io.ReadAll(io.LimitReader(e.in, maxPasswordLine))
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
	fd := int(e.in.Fd())
	if !term.IsTerminal(fd) {
		return "", errors.New("no terminal to ask for the password: use --password-stdin")
	}
	var given [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(e.err, prompt)
		text, err := term.ReadPassword(fd)
		fmt.Fprintln(e.err)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		given[i] = string(text)
	}
	if given[0] != given[1] {
		return "", errors.New("the two passwords differ: try again")
	}
	return given[0], nil
}

type accountAdd struct {
	Address string `arg:"" help:"The address, which is also the login: user@example.org."`
	Quota   string `help:"Most bytes of mail, as 5GiB; 0 is no limit. Default: account.quota." placeholder:"SIZE"`
	passwordFlag
}

func (c *accountAdd) Run(e *env) error {
	request := admin.AccountRequest{Address: c.Address}
	quota, err := sizeArg(c.Quota)
	if err != nil {
		return err
	}
	request.Quota = quota
	if request.Password, err = c.read(e); err != nil {
		return err
	}
	return e.withAdmin(func(client *admin.Client) error {
		made, err := admin.Call[admin.Account](e.ctx, client, "account/add", request)
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(made)
		}
		e.out.say("%s can log in and receive mail now.", made.Address)
		return nil
	})
}

type accountPasswd struct {
	Address string `arg:"" help:"The account."`
	passwordFlag
}

func (c *accountPasswd) Run(e *env) error {
	password, err := c.read(e)
	if err != nil {
		return err
	}
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "account/passwd", admin.AccountRequest{Address: c.Address, Password: password}); err != nil {
			return err
		}
		e.out.say("%s has a new password.", c.Address)
		return nil
	})
}

type accountQuota struct {
	Address string `arg:"" help:"The account."`
	Quota   string `arg:"" help:"Most bytes of mail, as 5GiB; 0 is no limit."`
}

func (c *accountQuota) Run(e *env) error {
	quota, err := sizeArg(c.Quota)
	if err != nil {
		return err
	}
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "account/quota", admin.AccountRequest{Address: c.Address, Quota: quota}); err != nil {
			return err
		}
		e.out.say("%s may keep %s.", c.Address, quotaText(*quota))
		return nil
	})
}

type accountForward struct {
	Address string   `arg:"" help:"The account."`
	Targets []string `arg:"" optional:"" help:"Where its mail goes: addresses here or elsewhere. Without any, where it goes now is shown."`
	Keep    bool     `help:"The account gets its mail too."`
	Clear   bool     `help:"Forward nothing any more."`
}

func (c *accountForward) Run(e *env) error {
	if c.Clear && len(c.Targets) > 0 || c.Keep && len(c.Targets) == 0 {
		return errors.New("--clear goes without targets, and --keep with some")
	}
	return e.withAdmin(func(client *admin.Client) error {
		request := admin.ForwardRequest{Address: c.Address, Targets: c.Targets, Keep: c.Keep, Clear: c.Clear}
		f, err := admin.Call[admin.Forward](e.ctx, client, "account/forward", request)
		switch {
		case err != nil:
			return err
		case e.out.json:
			return e.out.object(f)
		case len(f.To) == 0:
			e.out.say("Mail for %s goes to its mailbox and nowhere else.", f.Address)
		case f.Keep:
			e.out.say("Mail for %s goes to %s, and to its mailbox.", f.Address, addressList(f.To))
		default:
			e.out.say("Mail for %s goes to %s, and not to its mailbox.", f.Address, addressList(f.To))
		}
		return nil
	})
}

type accountList struct {
	Domain string `arg:"" optional:"" help:"Only accounts of this domain."`
}

func (c *accountList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("ACCOUNT", ">MAILS", ">USED", ">QUOTA", "STATE")
		for a, err := range admin.List[admin.Account](e.ctx, client, "account/list", admin.DomainRequest{Name: c.Domain}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(a)
				continue
			}
			state := "active"
			switch {
			case a.Leaving:
				state = "being deleted"
			case a.Disabled:
				state = "no logins"
			}
			t.row(a.Address.String(), fmt.Sprint(a.Emails), bytesText(a.Used), quotaText(a.Quota), state)
		}
		t.print("no accounts yet: posthaste account add user@example.org")
		return nil
	})
}

type accountDelete struct {
	Address string `arg:"" help:"The account."`
	Yes     bool   `help:"Do not ask."`
}

func (c *accountDelete) Run(e *env) error {
	if !c.Yes {
		if !term.IsTerminal(int(e.in.Fd())) {
			return fmt.Errorf("deleting %s erases all its mail: say --yes", c.Address)
		}
		fmt.Fprintf(e.err, "Delete %s and erase all its mail? Type the address again: ", c.Address)
		answer, err := bufio.NewReader(e.in).ReadString('\n')
		if err != nil || strings.TrimSpace(answer) != c.Address {
			return errors.New("nothing was deleted")
		}
	}
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "account/delete", admin.AccountRequest{Address: c.Address}); err != nil {
			return err
		}
		e.out.say("%s and its mail are gone.", c.Address)
		return nil
	})
}

// sizeArg reads a size; nil when none is given.
func sizeArg(text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	var size config.Size
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	return (*int64)(&size), nil
}

func quotaText(n int64) string {
	if n == 0 {
		return "no limit"
	}
	return bytesText(n)
}
