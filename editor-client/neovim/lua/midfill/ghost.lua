--- Ghost text: what would be inserted at the cursor, drawn but not in the buffer.
local M = {}

M.namespace = vim.api.nvim_create_namespace('midfill')
M.highlight = 'MidfillGhost'

--- Tabs have no width of their own in virtual text.
local function drawn(line, tabstop)
  return (line:gsub('\t', (' '):rep(tabstop)))
end

--- Draw a text at a place, in place of what is drawn in the buffer.
---@param bufnr integer
---@param row integer from 0
---@param col integer bytes, from 0
---@param text string
function M.show(bufnr, row, col, text)
  local tabstop = vim.bo[bufnr].tabstop
  local lines = vim.split(text, '\n', { plain = true })
  local below = {}
  for number = 2, #lines do
    below[#below + 1] = { { drawn(lines[number], tabstop), M.highlight } }
  end
  vim.api.nvim_buf_set_extmark(bufnr, M.namespace, row, col, {
    id = 1,
    virt_text = { { drawn(lines[1], tabstop), M.highlight } },
    virt_text_pos = 'inline',
    virt_lines = below,
    hl_mode = 'combine',
  })
end

--- Draw nothing.
---@param bufnr integer
function M.hide(bufnr)
  if vim.api.nvim_buf_is_valid(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, M.namespace, 0, -1)
  end
end

return M
