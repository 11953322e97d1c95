package mc

import "testing"

func TestDecodeMeta(t *testing.T) {
	const badToken = `invalid "CLIENT_ERROR bad token in command line format"`
	const badKey = `invalid "CLIENT_ERROR error decoding key"`
	const badFlag = `invalid "CLIENT_ERROR invalid flag"`
	const badOpaque = `invalid "CLIENT_ERROR opaque token too long"`
	const tooMany = `invalid "CLIENT_ERROR options flags are too long"`
	const all18 = "c f h k l O q s t v E1 N1 R1 T1 u x I L"
	checkCases(t, Decoder{}, []decodeCase{
		{"mn\r\n", `mn`},
		{"mn foo\r\n", `mn`},
		{"mg k\r\n", `mg key="k"`},
		{"mg k v\r\n", `mg key="k" args="v"`},
		{"mg  k  t  v \r\n", `mg key="k" args="t  v"`},
		{"mg k q v Oab\n", `mg key="k" args="q v Oab" noreply=true`},
		{"mg k N30 R-1 T4294967297 C5 E6 F7\r\n",
			`mg key="k" args="N30 R-1 T4294967297 C5 E6 F7" flags=7 exptime=1 vivify=30 recache=-1 cas=5 newcas=6`},
		{"mg k M\r\n", `mg key="k" args="M"`},
		{"md k q x I T30\r\n", `md key="k" args="q x I T30" noreply=true exptime=30`},
		{"mg\r\n", badLine},
		{"md \r\n", badLine},
		{"mg " + longKey + " v\r\n", badLine},

		{"mg k " + all18 + "\r\n", `mg key="k" args="` + all18 + `" noreply=true exptime=1 vivify=1 recache=1 newcas=1`},
		{"mg k " + all18 + " P\r\n", tooMany},
		{"mg k v v " + all18 + "\r\n", tooMany},
		{"mg k v v\r\n", `invalid "CLIENT_ERROR duplicate flag"`},
		{"mg k w\r\n", badFlag},
		{"mg k 5\r\n", badFlag},
		{"mg k [\r\n", badFlag},
		{"mg k v -v\r\n", badLine},
		{"mg k v v -v\r\n", badLine},
		{"mg k \x80\r\n", badLine},
		{"mg k T\r\n", badToken},
		{"mg k Tx\r\n", badToken},
		{"mg k T \r\n", badToken},
		{"mg k E-1\r\n", badToken},
		{"mg k F\r\n", badLine},
		{"mg k Fx Tx\r\n", badToken},
		{"mg k Tx Fx\r\n", badToken},
		{"mg k Tx w\r\n", badFlag},
		{"mg k Jx\r\n", `invalid "CLIENT_ERROR invalid numeric initial value"`},
		{"mg k Dx\r\n", `invalid "CLIENT_ERROR invalid numeric delta value"`},
		{"mg k Dx Tx\r\n", badToken},

		{"mg k O" + longKey[:31] + "\r\n", `mg key="k" args="O` + longKey[:31] + `"`},
		{"mg k q O" + longKey[:32] + "\r\n", badOpaque},
		{"md k O" + longKey[:32] + "\r\n", badOpaque},
		{"ma k O" + longKey[:32] + "\r\n", badOpaque},
		{"mg k O" + longKey[:32] + " T\r\n", badToken},

		{"mg a2V5 b k\r\n", `mg key="key" args="b k"`},
		{"mg a!2V5 k b\r\n", `mg key="key" args="k b"`},
		{"mg a2V= b\r\n", `mg key="ke" args="b"`},
		{"mg AA==AAAA b\r\n", `mg key="\x00" args="b"`},
		{"mg =AAA b\r\n", `mg key="\x00\x00" args="b"`},
		{"mg a2=V5 b\r\n", badKey},
		{"mg ==== b\r\n", badKey},
		{"mg AAA b\r\n", badKey},
		{"mg ! b\r\n", badKey},

		{"ma k\r\n", `ma key="k" delta=1`},
		{"ma k D5 J3 N60 q MD\r\n", `ma key="k" args="D5 J3 N60 q MD" mode="D" noreply=true vivify=60 delta=5 initial=3`},
		{"ma k MII\r\n", `ma key="k" args="MII" mode="I" delta=1`},
		{"ma k M+\r\n", `ma key="k" args="M+" mode="+" delta=1`},
		{"ma k M-\r\n", `ma key="k" args="M-" mode="-" delta=1`},
		{"ma k M\r\n", `invalid "CLIENT_ERROR invalid mode for ma M token"`},
		{"ma k Mi\r\n", `invalid "CLIENT_ERROR invalid mode for ma M token"`},
		{"ma k Dx\r\n", `invalid "CLIENT_ERROR invalid or duplicate flag"`},
		{"ma " + longKey + "\r\n", `invalid "CLIENT_ERROR invalid or duplicate flag"`},
		{"ma k -\r\n", badLine},

		{"me k\r\n", `me key="k"`},
		{"me k q 5 q\r\n", `me key="k" args="q 5 q"`},
		{"me a2V5 b\r\n", `me key="key" args="b"`},
		{"me a2V5 v b\r\n", `me key="a2V5" args="v b"`},
		{"me ! b\r\n", badLine},
		{"me k -\r\n", badLine},
		{"me " + longKey + "\r\n", badLine},
		{"me\r\n", badLine},
	})
}

func TestDecodeMetaSet(t *testing.T) {
	const badBlock = `invalid "CLIENT_ERROR bad data chunk"`
	const badMode = `invalid "CLIENT_ERROR invalid mode for ms M token"`
	checkCases(t, Decoder{}, []decodeCase{
		{"ms k 2\r\nab\r\n", `ms key="k" value="ab"`},
		{"ms k 0 \r\n\r\n", `ms key="k"`},
		{"ms k 2 F3 T9 C4 E5 I q c\r\nab\r\n",
			`ms key="k" value="ab" args="F3 T9 C4 E5 I q c" noreply=true flags=3 exptime=9 cas=4 newcas=5`},
		{"ms k 1 F4294967296 T4294967296\r\nx\r\n", `ms key="k" value="x" args="F4294967296 T4294967296"`},
		{"ms k 2 MA N60\r\nab\r\n", `ms key="k" value="ab" args="MA N60" mode="A" vivify=60`},
		{"ms a2V5 2 b\r\nab\r\n", `ms key="key" value="ab" args="b"`},

		// Refused without the block, whose length is unknown.
		{"ms k\r\n", badLine},
		{"ms k x\r\n", badLine},
		{"ms k -1\r\n", badLine},
		{"ms k S2\r\n", badLine},
		{"ms k 2 -\r\nab\r\nmn\r\n", badLine + `; invalid "ERROR"; mn`},

		// Refused with the block.
		{"ms k 2 w\r\nab\r\nmn\r\n", `invalid "CLIENT_ERROR invalid flag"; mn`},
		{"ms k 2 q q\r\nab\r\nmn\r\n", `invalid "CLIENT_ERROR duplicate flag"; mn`},
		{"ms k 2 T\r\n12\r\nmn\r\n", `invalid "CLIENT_ERROR bad token in command line format"; mn`},
		{"ms k 2 M\r\nab\r\nmn\r\n", badMode + "; mn"},
		{"ms k 2 Me\r\nab\r\nmn\r\n", badMode + "; mn"},
		{"ms k 2 q O" + longKey[:32] + "\r\nab\r\nmn\r\n", `invalid "CLIENT_ERROR opaque token too long"; mn`},
		{"ms ! 2 b\r\nab\r\nmn\r\n", `invalid "CLIENT_ERROR error decoding key"; mn`},
		{"ms " + longKey + " 2\r\nab\r\nmn\r\n", badLine + "; mn"},
		{"ms k 2 q\r\nabcd\nmn\r\n", badBlock + "; " + badLine + "; mn"},
	})
}
