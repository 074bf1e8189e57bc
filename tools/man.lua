-- Turn a page of docs/ into a manual page: the title is dropped, as NAME stands there instead; a table becomes a list of
-- terms, which fits every width; links that lead to other pages of docs/ are only their text.

local stringify = pandoc.utils.stringify

local function lower_headings(blocks)
  local kept = {}
  for _, block in ipairs(blocks) do
    if block.t == "Header" and block.level > 1 then
      block.level = block.level - 1
      if block.level == 1 then
        block.content = { pandoc.Str(pandoc.text.upper(stringify(block.content))) }
      end
      table.insert(kept, block)
    elseif block.t ~= "Header" then
      table.insert(kept, block)
    end
  end
  return kept
end

-- The first cell is the term; the last one describes it; those between are named by their column.
local function definition(head, cells)
  local said = {}
  for i = 2, #cells - 1 do
    local value = pandoc.utils.blocks_to_inlines(cells[i])
    if #value > 0 then
      if #said > 0 then table.insert(said, pandoc.Str("; ")) end
      table.insert(said, pandoc.Str(stringify(head[i]) .. ": "))
      for _, inline in ipairs(value) do table.insert(said, inline) end
    end
  end
  local body = {}
  if #said > 0 then table.insert(body, pandoc.Plain(said)) end
  for _, block in ipairs(cells[#cells]) do
    table.insert(body, #said > 0 and block.t == "Plain" and pandoc.Para(block.content) or block)
  end
  return { pandoc.utils.blocks_to_inlines(cells[1]), { body } }
end

function Table(found)
  local simple = pandoc.utils.to_simple_table(found)
  local items = {}
  for _, row in ipairs(simple.rows) do
    table.insert(items, definition(simple.headers, row))
  end
  return pandoc.DefinitionList(items)
end

-- Bold, as manual pages have what is typed; the font that pandoc would name is unknown to some readers.
function Code(found)
  return pandoc.Strong(pandoc.Str(found.text))
end

function Link(found)
  if found.target:match("^https?:") then return nil end
  return found.content
end

local function section(title, ...)
  return { pandoc.Header(1, title), pandoc.Para({ ... }) }
end

function Pandoc(document)
  local function fact(name) return pandoc.Str(stringify(document.meta[name])) end
  local blocks = pandoc.List()
  blocks:extend(section("NAME", fact("title"), pandoc.Str(" - "), fact("what")))
  blocks:extend(section("SYNOPSIS", pandoc.Strong(fact("synopsis"))))
  blocks:insert(pandoc.Header(1, "DESCRIPTION"))
  blocks:extend(lower_headings(document.blocks))
  blocks:extend(section("SEE ALSO", fact("also")))
  return pandoc.Pandoc(blocks, document.meta)
end
