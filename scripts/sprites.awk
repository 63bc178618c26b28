# sprites.awk: nouns from Unicode's names of emoji (kind=emoji) and from the first lines of
# Tux Paint's texts (kind=stamps; the emoji's nouns are read first).  Prints picture,
# noun, plural, with tabs between.

function plural(s,   n, w, last, head) {
    n = split(s, w, " ")
    last = w[n]
    head = substr(s, 1, length(s) - length(last))
    if (last in irregular)
        return head irregular[last]
    if (last ~ /[^aeiou]y$/)
        return head substr(last, 1, length(last) - 1) "ies"
    if (last ~ /(s|x|z|ch|sh)$/)
        return head last "es"
    return head last "s"
}

function list(into, words,   n, w, i) {
    n = split(words, w, ",")
    for (i = 1; i <= n; i++)
        into[w[i]] = 1
}

# Would an English speaker count these, and know one from another?
function is_noun(s) {
    return s ~ /^[a-z]+( [a-z]+)?$/ && !(s in deny) && length(s) >= 3 && length(s) <= 16 && \
        (s !~ /s$/ || s ~ /(ss|bus|us|lens|compass|cactus)$/)
}

BEGIN {
    FS = "\t"
    n = split("mouse mice,goose geese,ox oxen,sheep sheep,deer deer,fish fish,bison bison,squid squid," \
        "leaf leaves,knife knives,wolf wolves,loaf loaves,scarf scarves,shelf shelves,elf elves," \
        "tooth teeth,foot feet,man men,woman women,child children,snowman snowmen,octopus octopuses," \
        "potato potatoes,tomato tomatoes,mango mangoes,moose moose,shrimp shrimp,salmon salmon", pairs, ",")
    for (i = 1; i <= n; i++) {
        split(pairs[i], one, " ")
        irregular[one[1]] = one[2]
    }
    list(groups, "animal-mammal,animal-bird,animal-amphibian,animal-reptile,animal-marine,animal-bug," \
        "plant-flower,plant-other,food-fruit,food-vegetable,food-prepared,food-asian,food-marine," \
        "food-sweet,drink,dishware,place-building,place-other,transport-ground,transport-water," \
        "transport-air,hotel,time,sky & weather,event,sport,game,arts & crafts,clothing,sound," \
        "musical-instrument,phone,computer,light & video,book-paper,mail,writing,office,lock,tool," \
        "science,medical,household,other-object,body-parts,place-geographic,money")
    # not countable, not one thing, or not to be told from a neighbour
    list(deny, "abacus,adhesive bandage,aerial tramway,airplane arrival,alembic,amphora," \
        "anatomical heart,anchor,avocado fruit,baby bottle,baby chick,bacon,badminton," \
        "baguette bread,balance scale,bar chart,bathtub,bed,bellhop bell,bento box," \
        "beverage box,billed cap,bird,biting lip,black nib,blossom,blue book,bone,bookmark," \
        "boomerang,bouquet,bowling,brain,bread,brick,bubble tea,bug,bulb ornament,bullseye," \
        "bus stop,butter,calendar,camping,canned food,card index,carousel horse," \
        "carp streamer,carpentry saw,cemetery marker,cep,chart decreasing,chart increasing," \
        "cheese wedge,cherimoya fruit,cherry blossom,chess pawn,chipmunk,cigarette,cityscape," \
        "clamp,clapper board,clipboard,closed book,closed umbrella,cloud,club suit," \
        "clutch bag,cocktail glass,coffin,coin,comet,computer disk,computer mouse," \
        "confetti ball,construction,cooked rice,cooking,coral,credit card,crescent moon," \
        "cricket game,crutch,curling stone,curry rice,custard,cyclone,deciduous tree," \
        "department store,derelict house,desert,desert island,desktop computer,diamond suit," \
        "diving mask,diya lamp,dna,dodo,dollar banknote,dromedary,droplet,dumpling,dvd,ear," \
        "electric plug,elevator,empty nest,envelope,euro banknote,evergreen tree,ewe,eye," \
        "factory,falafel,fallen leaf,fax machine,feather,ferris wheel,ferry,field hockey," \
        "file cabinet,file folder,film projector,fire,firecracker,fish,fishing pole," \
        "flat shoe,flatbread,floppy disk,fly,flying disc,flying saucer,fog,foggy,fondue,foot," \
        "fort,fortune cookie,framed picture,fried shrimp,fuel pump,full moon,funeral urn," \
        "game die,garlic,gear,gem stone,glowing star,goal net,grave marker,gravestone," \
        "graveyard,green book,green salad,guide dog,hair pick,hamsa,hatching chick,headstone," \
        "heart suit,herb,hibiscus,hibiscus flower,high voltage,hook,hot beverage,hotel," \
        "hourglass done,house,hut,ice,ice hockey,inbox tray,inn,jar,joker,joystick," \
        "kitchen knife,kite,kiwifruit,knot,label,lacrosse,ladder,leafy green,ledger,leg," \
        "light bulb,light rail,link,lipstick,locked,locomotive,lotion bottle,lotus," \
        "loudspeaker,love hotel,low battery,luggage,magnet,maple leaf,mate,mechanical arm," \
        "mechanical leg,medieval city,megaphone,memo,metro,microbe,military helmet,milky way," \
        "minibus,mirror ball,moai,mobile phone,money bag,monorail,monument stone,moon cake," \
        "motor boat,motorway,mount fuji,mountain,mountain railway,mouse trap,mouth," \
        "movie camera,muted speaker,national park,nazar amulet,new moon,newspaper,nose,oden," \
        "office building,oil drum,old key,oncoming bus,oncoming taxi,optical disk," \
        "orange book,outbox tray,package,pager,parachute,party popper,passenger ship," \
        "petri dish,pick,pig nose,pill,pine decoration,ping pong,placard,popcorn,postal horn," \
        "postbox,potted plant,poultry leg,pound banknote,pouring liquid,puzzle piece," \
        "railway car,railway track,rat,receipt,red envelope,reminder ribbon,ribbon,rice ball," \
        "rice cracker,ring buoy,rock,roller coaster,rosette,round pushpin,running shirt," \
        "safety pin,safety vest,sake,salt,satellite,sauropod,seat,sedan car,seedling," \
        "shamrock,ship,shooting star,shopping cart,shortcake,shower,sled,slot machine," \
        "small airplane,snowflake,soap,softball,spade suit,spaghetti,sparkler,spider web," \
        "spiral calendar,spiral notepad,sponge,stadium,star,station,steaming bowl," \
        "stethoscope,straight ruler,sun,sun with,sunrise,sunset,sushi,syringe,taco," \
        "takeout box,tamale,tanabata tree,television,tent,test tube,thermometer,thread," \
        "thyme plant,ticket,timer clock,tongue,toolbox,tooth,trackball,train sign,tram car," \
        "triangular ruler,trolleybus,trophy cup,tropical drink,tumbler glass,unlocked," \
        "video game,videocassette,wastebasket,water buffalo,water pistol,water wave,wedding," \
        "wheel,white cane,white flower,wilted flower,wind,wind chime,window,wing,wood," \
        "wrapped gift,xanthia,yarn,yen banknote")
}

kind == "emoji" && /^# subgroup: / {
    wanted = substr($0, 13) in groups
    next
}

# "1F436  ; fully-qualified # (picture) E0.6 dog face", perhaps with the sign that asks for colour
kind == "emoji" && wanted && /; fully-qualified/ {
    number = $0
    sub(/ *;.*/, "", number)
    sub(/ FE0F$/, "", number)
    noun = $0
    sub(/.* E[0-9.]+ /, "", noun)
    sub(/ face$/, "", noun)
    sub(/^lady beetle$/, "ladybug", noun)
    if (number !~ / / && is_noun(noun))
        print number "\t" noun "\t" plural(noun)
    next
}

kind == "stamps" && FNR == NR {
    emoji[$2] = 1
    next
}

# "A big eared rabbit.": the whole, or its last word, as the emoji have it; else a plain name
kind == "stamps" {
    said = $2
    if (said !~ /^An? .*\.$/ || $1 ~ /^(symbols|people)\//)
        next
    sub(/^An? /, "", said)
    sub(/\.$/, "", said)
    n = split(said, word, " ")
    if (!(said in emoji) && n <= 3 && word[n] in emoji)
        said = word[n]
    if (said in emoji || (n <= 2 && is_noun(said)))
        print $1 "\t" said "\t" plural(said)
}
