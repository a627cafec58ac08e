%% SPDX-License-Identifier: MIT
%%
%% One Mnesia node of a benchmark, driven by lines on standard input, one line of answer to each; see
%% member.cc, which speaks the same.  Started as
%%   erl -noinput ... -s mnesia_member main ram_copies|disc_copies [FIRST_NODE]
%% A node whose directory holds a schema restarts; one with FIRST_NODE joins it in the order in which
%% Pow's MnesiaCache does: start, extra_db_nodes, copy of the schema, copy of the table, wait.
-module(mnesia_member).
-export([main/1, writer/4]).

main([Storage | Peer]) ->
    Start = now_us(),
    Known = mnesia:system_info(use_dir),
    ok = mnesia:start(),
    begin_table(Storage, Peer, Known),
    ok = mnesia:wait_for_tables([session], infinity),
    persistent_term:put(values, list_to_tuple([rand:bytes(256) || _ <- lists:seq(1, 1000)])),
    say("~f", [(now_us() - Start) / 1.0e6]),
    Port = open_port({fd, 0, 1}, [in, eof, {line, 4096}]),
    serve(Port, Storage).

begin_table(Storage, [], false) ->
    own_schema(Storage),
    {atomic, ok} = mnesia:create_table(session, [{Storage, [node()]}, {type, ordered_set},
                                                 {attributes, [key, value]}]);
begin_table(_, [], true) -> ok;
begin_table(Storage, [First], Known) ->
    {ok, [_ | _]} = mnesia:change_config(extra_db_nodes, [First]),
    case Known of true -> ok; false ->
        own_schema(Storage),
        {atomic, ok} = mnesia:add_table_copy(session, node(), Storage)
    end.

own_schema(ram_copies) -> ok;
own_schema(disc_copies) -> {atomic, ok} = mnesia:change_table_copy_type(schema, node(), disc_copies).

serve(Port, Storage) ->
    receive
        {Port, {data, {eol, Line}}} -> obey(string:lexemes(Line, " "), Storage), serve(Port, Storage);
        {Port, eof} -> mnesia:stop(), halt(0)
    end.

obey(["size"], _) -> say("~b", [mnesia:table_info(session, size)]);
obey(["collect"], _) -> [garbage_collect(P) || P <- processes()], say("ok", []);
obey(["drop", Node], _) ->  % a node that is gone for good, so that its name may join anew
    {atomic, ok} = mnesia:del_table_copy(schema, list_to_atom(Node)),
    say("ok", []);
obey(["fill", From, To], Storage) -> fill(Storage, int(From), int(To)), say("ok", []);
obey(["get", Ms, Keys], _) ->
    Start = now_us(),
    Count = get_until(Start + int(Ms) * 1000, int(Keys), 0),
    say("~b ~f", [Count, (now_us() - Start) / 1.0e6]);
obey(["put", Writers, Ms, Keys], _) ->
    Start = now_us(), Self = self(),
    Pids = [spawn_link(?MODULE, writer, [Self, Start + int(Ms) * 1000, int(Keys), []])
            || _ <- lists:seq(1, int(Writers))],
    Waits = lists:sort(lists:append([receive {Pid, Some} -> Some end || Pid <- Pids])),
    Took = (now_us() - Start) / 1.0e6, Count = length(Waits),
    say("~b ~f ~b ~b", [Count, Took, lists:nth(Count div 2 + 1, Waits),
                        lists:nth(Count * 99 div 100 + 1, Waits)]).

fill(_, From, To) when From >= To -> mnesia:dump_log();
fill(ram_copies, From, To) -> ok = mnesia:dirty_write(record(From)), fill(ram_copies, From + 1, To);
fill(Storage, From, To) ->
    Last = min(From + 1000, To),
    {atomic, ok} = mnesia:transaction(fun() ->
        lists:foreach(fun(I) -> mnesia:write(record(I)) end, lists:seq(From, Last - 1)) end),
    fill(Storage, Last, To).

get_until(End, Keys, Count) ->
    [[{session, _, _}] = mnesia:dirty_read(session, key(rand:uniform(Keys) - 1))
     || _ <- lists:seq(1, 100)],
    case now_us() < End of true -> get_until(End, Keys, Count + 100); false -> Count + 100 end.

writer(To, End, Keys, Waits) ->
    Start = now_us(),
    Record = record(rand:uniform(Keys) - 1),
    {atomic, ok} = mnesia:sync_transaction(fun() -> mnesia:write(Record) end),
    Now = now_us(),
    case Now < End of
        true -> writer(To, End, Keys, [Now - Start | Waits]);
        false -> To ! {self(), [Now - Start | Waits]}
    end.

key(I) -> <<"pow:cache:session:", I:112>>.  % 32 bytes
record(I) -> {session, key(I), binary:copy(element(rand:uniform(1000), persistent_term:get(values)))}.
now_us() -> erlang:monotonic_time(microsecond).
int(Text) -> list_to_integer(Text).
say(Format, Words) -> io:format(Format ++ "~n", Words).
