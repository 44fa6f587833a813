--- Texts of suggestions: which part of one is typed, what its next word is. No state, no editor.
local M = {}

--- The text with "\n" for "\r\n" and "\r".
---@param text string
---@return string
function M.with_newlines(text)
  return (text:gsub('\r\n', '\n'):gsub('\r', '\n'))
end

--- What is left of a text once some of it is typed; nil if something else was typed.
---@param text string
---@param typed string
---@return string?
function M.rest(text, typed)
  if vim.startswith(text, typed) then
    return text:sub(#typed + 1)
  end
  return nil
end

--- The next word with the blanks and line ends before it: letters and digits, or other characters.
---@param text string
---@return string
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w_%s\128-\255]+') or text
end

--- The rest of the line; at its end, the line end and the whole next line.
---@param text string
---@return string
function M.line(text)
  return text:match('^\n?[^\n]*')
end

--- How many UTF-16 units a text has, as LSP counts characters.
---@param text string
---@return integer
function M.length(text)
  if vim.fn.has('nvim-0.11') == 1 then
    return vim.str_utfindex(text, 'utf-16')
  end
  local _, units = vim.str_utfindex(text)
  return units
end

return M
