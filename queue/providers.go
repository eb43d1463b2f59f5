package queue

import "regexp"

// builtinRules are what is widely known of the answers of large providers, and of hosts in general. They
// set no limits of their own: they react to a host that asks for less.
func builtinRules() []Rule {
	return []Rule{
		{
			Match: []string{"*.google.com", "*.googlemail.com"},
			Replies: []Reply{
				onAnswer(Suspend, `^421 .*4\.7\.28`, "Google limits unusual rates of mail from our address; see its sender guidelines"),
				onAnswer(Slow, `^4\d\d .*4\.7\.0 .*(unusual rate|rate limit|try again later)`, "Google limits the rate of mail from us"),
				onAnswer(Slow, `^450 .*4\.2\.1 .*receiv\w* mail at a rate`, "the recipient gets mail faster than Google allows"),
			},
		},
		{
			Match: []string{"*.outlook.com", "*.hotmail.com", "*.protection.outlook.com"}, Together: true,
			Replies: []Reply{
				onAnswer(Suspend, `(?i)\bRP-00[123]\b`, "Microsoft's reputation system limits our address; see its postmaster pages"),
				onAnswer(Slow, `(?i)\bS77[45]\b|4\.7\.(500|650|651)|throttl`, "Microsoft limits the rate of mail from us"),
			},
		},
		{
			Match: []string{"*.yahoodns.net"}, Together: true,
			Replies: []Reply{
				onAnswer(Suspend, `\[?TSS?0[1-9]\]?`, "Yahoo defers all mail from our address for a while, after complaints or unusual traffic"),
			},
		},
		{
			Match: []string{"*.icloud.com", "*.apple.com"},
			Replies: []Reply{
				onAnswer(Suspend, `(?i)\[?(HM|CS)\d\d\]?.*(rate|limit|block)`, "Apple limits mail from our address"),
			},
		},
		{
			Match: []string{"*"},
			Replies: []Reply{
				onAnswer(Slow, `(?i)^4\d\d .*too many (concurrent |simultaneous |open )?(smtp )?(connections|sessions)`, "the host takes fewer connections at the same time"),
				onAnswer(Slow, `(?i)^4\d\d .*(rate.?limit|too many messages|too (much|fast|quickly)|throttl|exceeded the .*rate)`, "the host limits the rate of mail"),
			},
		},
	}
}

func onAnswer(a ReplyAction, pattern, reason string) Reply {
	return Reply{Pattern: regexp.MustCompile(pattern), Action: a, Reason: reason}
}
